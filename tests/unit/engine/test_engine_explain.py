"""Why a pod is or isn't scraped, from a real store, real discovery and loops in given states."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from builders import CREATED, EPOCH, MIB, container, manifest, only, pod
from write_builder import writes

from pyroscope_operator.discovery.contests import Changes
from pyroscope_operator.discovery.finding import Finding
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.explain import explain_address, explain_pod
from pyroscope_operator.engine.reconciler import Reconciler
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.engine.verdict import Policy
from pyroscope_operator.errors import FetchError
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import PUSH_FAILING, DeliveryBook, Trouble
from pyroscope_operator.push.endpoint import FLAGS, EndpointKey
from pyroscope_operator.push.fanout import Fanout
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState, ScrapePool

UP = Health().succeeded(EPOCH, EPOCH + 0.25, 1000)
DOWN = Health().failed(EPOCH, EPOCH + 1, FetchError("HTTPStatus", "answered 404"))
LATER = "2026-05-05T05:05:05Z"
WEB = {"app": "web"}
MEMORY = {"selector": {"matchLabels": WEB}, "profilingConfig": only("memory")}


@dataclass
class FakePool:
    """A loop for each scrape, by profile type in these states."""

    health: dict[str, Health]
    scrapes: Changes = field(default_factory=dict)

    def keys(self) -> Iterable[str]:
        return ()

    async def sync(self, changes: Changes) -> None:
        self.scrapes |= changes

    def state(self, key: str) -> LoopState | None:
        found = self.scrapes.get(key)
        health = self.health.get(found.profile.type, UP) if found else None
        return LoopState(found, health, EPOCH + 15) if found and health else None


class FakeFanout:
    renew = None

    def sync(self, endpoints: object) -> None: ...

    def forget(self, keep: object) -> None: ...


async def engine_of(
    objects: Iterable[dict[str, Any]],
    pods: Iterable[Pod],
    *,
    health: dict[str, Health] | None = None,
    policy: Policy | None = None,
) -> Engine:
    metrics, book = Metrics(), DeliveryBook()
    store, pool = Store(metrics), cast("ScrapePool", FakePool(health or {}))
    for raw in objects:
        store.put_object(ScrapeObject.from_manifest(raw))
    for one in pods:
        store.put_pod(one)
    secrets = Secrets(store.changed, metrics)
    known = writes(store, FakeFanout(), secrets)
    reconciler = Reconciler(store, pool, book, Policy(None, MIB), metrics, secrets=secrets, writes=known)
    await reconciler.reconcile()
    return Engine(store, pool, reconciler, cast("Fanout", FakeFanout()), book, secrets)


async def explained(*objects: dict[str, Any], of: Pod | None = None, everything: bool = False, **options: Any) -> dict[str, Any]:
    """What is said of one pod, as whoever asks over HTTP reads it."""
    one = of or pod(labels=WEB)
    engine = await engine_of(objects, [one], **options)
    read: dict[str, Any] = json.loads(json.dumps(explain_pod(engine, one.ref, EPOCH + 5, everything=everything)))
    return read


def outcomes(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(view["name"], view["outcome"], view["reason"]) for view in answer["objects"]]


async def test_a_pod_that_is_scraped() -> None:
    steps = [{"sourceLabels": ["__meta_kubernetes_pod_label_app"], "targetLabel": "team"}]
    answer = await explained(manifest(**MEMORY, relabelings=steps))
    (view,) = answer["objects"]
    assert (answer["scraped"], view["outcome"], view["message"]) == (True, "Scraped", "1 of 1 profile types up")
    (target,) = view["targets"]
    assert (target["scheme"], target["address"], target["labels"]["team"]) == ("http", "10.0.0.1:6060", "web")
    assert "team" not in target["discoveredLabels"]
    (scrape,) = target["scrapes"]
    assert (scrape["state"], scrape["lastScrape"], scrape["nextScrape"]) == (
        "up",
        "2027-01-15T08:00:00.000+00:00",
        "2027-01-15T08:00:15.000+00:00",
    )
    assert view["delivering"] == {"status": "Unknown", "reason": "NothingPushed", "message": "no profile has been pushed yet"}
    assert answer["pod"] == {
        "phase": "Running",
        "ip": "10.0.0.1",
        "ready": True,
        "labels": WEB,
        "ports": [{"container": "app", "name": "pprof", "number": 6060, "protocol": "TCP"}],
    }
    assert answer["now"] == "2027-01-15T08:00:05.000+00:00"


async def test_states_are_counted() -> None:
    raw = manifest(**{**MEMORY, "profilingConfig": only("memory", "goroutine", "mutex")})
    answer = await explained(raw, health={"goroutine": DOWN, "mutex": Health()})
    assert answer["objects"][0]["message"] == "1 of 3 profile types up, 1 down, 1 not tried yet"
    assert answer["scraped"], "it is scraped, though not everything is up"


async def test_what_delivery_says_is_about_this_pod() -> None:
    one, other = pod(labels=WEB), pod("web-1", labels=WEB, ip="10.0.0.2")
    engine = await engine_of([manifest(**MEMORY)], [one, other])
    mine = engine.reconciler.decision.plans[ObjectRef("shop", "checkout")].scrapes[1]
    assert mine.target.pod == "web-1"
    trouble = Trouble(PUSH_FAILING, "the series is refused")
    engine.book.record_trouble(mine.source, EndpointKey(FLAGS, "default"), mine.labels, trouble, dropped=True)

    def delivering(of: Pod) -> str:
        said: str = explain_pod(engine, of.ref, EPOCH)["objects"][0]["delivering"]["status"]
        return said

    assert (delivering(one), delivering(other)) == ("Unknown", "False")


@pytest.mark.parametrize(
    ("spec", "fields", "outcome", "message"),
    [
        pytest.param({"port": "http"}, {}, ("Dropped", "PortNotFound"), "no container port named 'http'", id="port"),
        pytest.param({}, {"phase": "Pending", "ip": ""}, ("Dropped", "NotRunning"), "phase Pending, no IP", id="not running"),
        pytest.param(
            {"relabelings": [{"action": "keep", "regex": "x"}]},
            {},
            ("Dropped", "Relabeled"),
            "[0] (keep)",
            id="relabels",
        ),
        pytest.param(
            {"relabelings": [{"targetLabel": "__address__", "replacement": "other:1"}]},
            {},
            ("Dropped", "InvalidTarget"),
            "__address__",
            id="invalid target",
        ),
        pytest.param({"suspend": True}, {}, ("Suspended", "Suspended"), "spec.suspend is true", id="suspended"),
        pytest.param({"interval": "soon"}, {}, ("NotAccepted", "InvalidSpec"), "interval", id="invalid"),
        pytest.param({"forwardTo": [{"name": "x"}]}, {}, ("NotAccepted", "WriteNotFound"), "shop/x", id="no write"),
        pytest.param({"profilingConfig": only()}, {}, ("NoProfiles", "NoProfiles"), "no profile type", id="no profiles"),
        pytest.param(
            {"selector": {"matchLabels": {"app": "db"}}}, {}, ("NotSelected", "NotSelected"), 'app="db"', id="not selected"
        ),
    ],
)
async def test_why_not(spec: dict[str, Any], fields: dict[str, Any], outcome: tuple[str, str], message: str) -> None:
    answer = await explained(manifest(**{**MEMORY, **spec}), of=pod(labels=WEB, **fields))
    (view,) = answer["objects"]
    assert (view["outcome"], view["reason"]) == outcome
    assert message in view["message"]
    assert answer["scraped"] is False


async def test_the_relabeling_that_drops_is_shown() -> None:
    step = {"action": "drop", "sourceLabels": ["__meta_kubernetes_pod_label_app"], "regex": "web"}
    answer = await explained(manifest(**MEMORY, relabelings=[{"targetLabel": "a", "replacement": "b"}, step]))
    (drop,) = answer["objects"][0]["drops"]
    assert drop == {"reason": "Relabeled", "message": "dropped by relabelings[1] (drop)", "step": {"index": 1, **step}}


@pytest.mark.parametrize(
    ("mine", "theirs", "why"),
    [
        ({"created": LATER}, {}, "it is older"),
        ({"namespace": "other"}, {"created": LATER}, "it is in the pod's own namespace"),
        ({"name": "z"}, {}, "its name comes first, both are of the same age"),
    ],
)
async def test_why_another_object_wins(mine: dict[str, str], theirs: dict[str, str], why: str) -> None:
    def made(name: str = "mine", namespace: str = "shop", created: str = CREATED) -> dict[str, Any]:
        spec = {**MEMORY, **({} if namespace == "shop" else {"namespaceSelector": {"any": True}})}
        return manifest(name, namespace, meta={"creationTimestamp": created}, **spec)

    answer = await explained(made(**mine), made(**{"name": "a-winner", **theirs}))
    assert [(name, outcome) for name, outcome, _ in outcomes(answer)] == [
        ("a-winner", "Scraped"),
        (mine.get("name", "mine"), "Duplicate"),
    ]
    (lost,) = answer["objects"][1]["duplicates"]
    assert lost["winner"] == {"namespace": "shop", "name": "a-winner", "profile": "memory"}
    assert lost["why"] == why


async def test_a_cpu_profile_that_another_one_excludes() -> None:
    """The rest of the object is scraped, and says what is not."""
    custom = [{"name": "mine", "enabled": True, "path": "/debug/pprof/profile", "delta": True}]
    answer = await explained(manifest(**{**MEMORY, "profilingConfig": only("memory", "processCPU", custom=custom)}))
    (view,) = answer["objects"]
    assert view["outcome"] == "Scraped"
    (lost,) = view["duplicates"]
    assert (lost["profile"], lost["winner"]["profile"], lost["why"]) == ("mine", "process_cpu", "the same object asks for both")


async def test_the_most_telling_comes_first() -> None:
    answer = await explained(
        manifest("not-selected", selector={"matchLabels": {"app": "x"}}),
        manifest("suspended", **MEMORY, suspend=True),
        manifest("refused", **MEMORY, forwardTo=[{"name": "x"}]),
        manifest("portless", **{**MEMORY, "port": "x"}),
        manifest("younger", meta={"creationTimestamp": LATER}, **MEMORY),
        manifest("winner", **MEMORY),
        manifest("far", "other", **MEMORY),
    )
    assert [name for name, *_ in outcomes(answer)] == ["winner", "younger", "portless", "refused", "suspended", "not-selected"]
    assert answer["counts"] == {"objects": 7, "selecting": 5, "notSelecting": 1, "elsewhere": 1}
    assert answer["notShown"] == {"selecting": 0, "notSelecting": 0, "elsewhere": 1}


async def test_hundreds_of_objects_are_counted_and_not_listed() -> None:
    near = manifest("near", selector={"matchLabels": {**WEB, "tier": "x"}})
    others = [manifest(f"o{n:03}", selector={"matchLabels": {"app": "x", "tier": "x", "zone": "x"}}) for n in range(300)]
    far = [manifest(f"f{n:03}", f"other-{n}", **MEMORY) for n in range(200)]
    answer = await explained(*others, *far, near)
    assert len(answer["objects"]) == 5
    assert answer["objects"][0]["name"] == "near", "the nearest comes first"
    assert answer["objects"][1]["message"].endswith('the pod has app="web" (and 2 more)')
    assert answer["notShown"] == {"selecting": 0, "notSelecting": 296, "elsewhere": 200}
    everything = await explained(*others, *far, near, everything=True)
    assert len(everything["objects"]) == 501
    assert set(everything["notShown"].values()) == {0}


async def test_of_many_objects_that_select_it_few_are_told_and_the_winner_is_one_of_them() -> None:
    younger = (manifest(f"o{n:03}", meta={"creationTimestamp": LATER}, **MEMORY) for n in range(80))
    answer = await explained(*younger, manifest("z-oldest", **MEMORY))
    assert answer["scraped"]
    assert answer["objects"][0]["name"] == "z-oldest"
    assert len(answer["objects"]) == 50
    assert answer["notShown"]["selecting"] == 31


async def test_a_pod_that_is_not_known() -> None:
    engine = await engine_of([manifest()], [pod("web-7d9f"), pod("web-8e0a"), pod("db-0"), pod("cart-1", "elsewhere")])
    answer = explain_pod(engine, ObjectRef("shop", "web"), EPOCH)
    assert (answer["found"], answer["scraped"], answer["podsInNamespace"]) == (False, False, 3)
    assert (answer["alike"], answer["inNamespaces"]) == (["web-7d9f", "web-8e0a"], [])
    assert explain_pod(engine, ObjectRef("shop", "cart-1"), EPOCH)["inNamespaces"] == ["elsewhere"]


async def test_objects_that_were_not_acted_upon_yet() -> None:
    engine = await engine_of([], [pod()])
    engine.store.put_object(ScrapeObject.from_manifest(manifest()))
    assert outcomes(explain_pod(engine, pod().ref, EPOCH)) == [("checkout", "Pending", "Pending")]
    await engine.reconciler.reconcile()
    engine.store.put_pod(pod("new", ip="10.0.0.2"))
    assert outcomes(explain_pod(engine, ObjectRef("shop", "new"), EPOCH)) == [("checkout", "Pending", "Pending")]
    cast("FakePool", engine.pool).scrapes.clear()
    answer = explain_pod(engine, pod().ref, EPOCH)
    assert answer["objects"][0]["message"] == "its scrapes are about to begin"


async def test_a_bug_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Finding, "bug", ZeroDivisionError("secret"))
    answer = await explained(manifest(**MEMORY))
    assert outcomes(answer) == [("checkout", "InternalError", "InternalError")]
    assert "secret" not in json.dumps(answer)


async def test_label_names_of_other_namespaces_stay_there() -> None:
    """An object of another namespace that is not accepted is none of the pod's business."""
    answer = await explained(manifest("far", "other", interval="soon"), manifest("own", interval="soon"))
    assert outcomes(answer) == [("own", "NotAccepted", "InvalidSpec")]
    assert answer["counts"]["elsewhere"] == 1


async def test_objects_without_a_selector() -> None:
    answer = await explained(manifest("static", staticTargets=[{"address": "10.0.0.1:6060"}]), everything=True)
    assert outcomes(answer) == [("static", "Elsewhere", "NoSelector")]


async def test_static_targets() -> None:
    steps = [{"action": "drop", "sourceLabels": ["zone"], "regex": "x"}]
    targets = [{"address": "a:1"}, {"address": "b:2", "labels": {"zone": "x"}}]
    raw = manifest(staticTargets=targets, relabelings=steps, profilingConfig=only("memory"))
    engine = await engine_of([raw, manifest("other", staticTargets=[{"address": "c:3"}])], [pod()])
    up = explain_address(engine, "a:1", EPOCH)
    assert (up["kind"], up["found"], up["scraped"], up["counts"]["elsewhere"]) == ("target", True, True, 1)
    assert up["objects"][0]["targets"][0]["address"] == "a:1"
    dropped = explain_address(engine, "b:2", EPOCH)
    assert (dropped["found"], dropped["scraped"]) == (True, False)
    assert outcomes(dropped) == [("checkout", "Dropped", "Relabeled")]
    unknown = explain_address(engine, "d:4", EPOCH)
    assert (unknown["found"], unknown["scraped"], unknown["objects"]) == (False, False, [])


async def test_no_credentials_are_told() -> None:
    """Of Secrets there is nothing in it, and of headers neither."""
    headers = [{"name": "X-Key", "value": "s3cr3t"}]
    raw = manifest(**MEMORY, headers=headers, params={"a": ["b"]})
    answer = await explained(raw, of=pod("web-0", "shop", container("app", Port("pprof", 1)), labels=WEB), everything=True)
    assert answer["scraped"]
    assert "s3cr3t" not in json.dumps(answer)
