from __future__ import annotations

import random
from typing import Any

import pytest
from builders import MIB, container, only, pod, pods_in, types, wanted
from oracle import plan

from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.errors import SpecError
from pyroscope_operator.model.ref import ObjectRef

MEMORY = only("memory")
ANY = {"any": True}
OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"
CPU_PATH = "/debug/pprof/profile"
FIXED: dict[str, Any] = {"staticTargets": [{"address": "10.0.0.1:6060"}]}


def decide(objects: list[Wanted], pods: list[Pod] | None = None) -> dict[ObjectRef, ObjectPlan]:
    """What the objects lead to; everything at once says the same."""
    found = pods_in([pod()] if pods is None else pods)
    discovery = Discovery(found, MIB)
    discovery.want({one.ref: one for one in objects})
    plans = dict(discovery)
    whole = plan(objects, found, MIB)
    assert plans.keys() == whole.keys()
    assert all(mine == whole[ref] for ref, mine in plans.items() if mine.bug is None)
    wanted_now = {key: scrape for key, scrape in discovery.changes().items() if scrape}
    assert wanted_now == {scrape.key: scrape for mine in whole.values() for scrape in mine.scrapes}
    return plans


def custom(*paths: str) -> list[dict[str, Any]]:
    return [{"name": f"custom{n}", "enabled": True, "path": path} for n, path in enumerate(paths)]


def memory(name: str, namespace: str = "shop", created: str = OLD, **fields: Any) -> Wanted:
    return wanted(name, namespace, created, **{"profilingConfig": MEMORY, "namespaceSelector": ANY, **fields})


def cpu(name: str, namespace: str = "shop", created: str = OLD, **fields: Any) -> Wanted:
    return memory(name, namespace, created, **{"profilingConfig": only("processCPU"), **fields})


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        pytest.param(memory("z", "shop", NEW), memory("a", "platform", OLD), id="own namespace before older"),
        pytest.param(memory("z", "shop", OLD), memory("a", "shop", NEW), id="older before name"),
        pytest.param(memory("z", "b", OLD), memory("a", "a", NEW), id="older, both from elsewhere"),
        pytest.param(memory("a", "shop"), memory("b", "shop"), id="name"),
        pytest.param(memory("z", "a"), memory("a", "b"), id="namespace and name"),
        pytest.param(memory("a", "shop", ""), memory("b", "shop", ""), id="name, standalone"),
        pytest.param(memory("a", **FIXED), memory("b", **FIXED), id="static target: name"),
        pytest.param(memory("z", "z", OLD, **FIXED), memory("a", "a", NEW, **FIXED), id="static target: older"),
        pytest.param(cpu("a"), cpu("b", deltaProfilingDuration="3s"), id="CPU of another length is the same scrape"),
        pytest.param(
            memory("a"), memory("b", interval="1m", jobName="x", podTargetLabels=["team"]), id="other interval and labels"
        ),
    ],
)
def test_the_better_claim_wins(winner: Wanted, loser: Wanted) -> None:
    for objects in ([winner, loser], [loser, winner]):
        plans = decide(objects, [] if winner.spec.static_targets else None)
        assert len(plans[winner.ref].scrapes) == 1
        assert plans[winner.ref].duplicates == []
        assert plans[loser.ref].scrapes == []
        (duplicate,) = plans[loser.ref].duplicates
        assert duplicate.winner == plans[winner.ref].scrapes[0]
        assert f"is scraped by {winner.ref}" in duplicate.message
        assert len(plans[loser.ref].targets) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(memory("b", port=6061), id="another port"),
        pytest.param(memory("b", scheme="https"), id="another scheme"),
        pytest.param(memory("b", params={"gc": ["1"]}), id="other params"),
        pytest.param(memory("b", profilingConfig=only("mutex")), id="another type"),
        pytest.param(memory("b", profilingConfig=only(memory={"path": "/heap"})), id="another path"),
        pytest.param(memory("b", selector={"matchLabels": {"app": "none"}}, **FIXED), id="not a pod"),
    ],
)
def test_different_scrapes_run_beside_each_other(other: Wanted) -> None:
    first = memory("a")
    plans = decide([first, other])
    assert [len(plans[ref].scrapes) for ref in (first.ref, other.ref)] == [1, 1]
    assert plans[other.ref].duplicates == []


def test_a_partial_overlap_is_split() -> None:
    first, second = memory("a"), memory("b", profilingConfig=only("memory", "mutex"))
    plans = decide([first, second])
    assert types(plans[second.ref].scrapes) == ["mutex"]
    assert [d.scrape.profile.type for d in plans[second.ref].duplicates] == ["memory"]


def test_each_pod_goes_to_the_object_of_its_own_namespace() -> None:
    here, there = memory("x", "here", OLD), memory("x", "there", NEW)
    plans = decide(
        [here, there], [pod("web", "here", ip="10.0.0.1"), pod("web", "there", ip="10.0.0.2"), pod("web", "z", ip="10.0.0.3")]
    )
    assert [s.target.namespace for s in plans[here.ref].scrapes] == ["here", "z"]
    assert [s.target.namespace for s in plans[there.ref].scrapes] == ["there"]


def test_one_object_can_not_name_an_address_twice() -> None:
    with pytest.raises(SpecError):
        wanted(staticTargets=[{"address": "db:1"}, {"address": "db:1", "labels": {"a": "b"}}])


class TestCpu:
    """A process takes one CPU profile at a time."""

    @pytest.mark.parametrize(
        "config",
        [
            pytest.param(only("processCPU", custom=custom(CPU_PATH)), id="custom"),
            pytest.param(only("processCPU", custom=custom("/debug/pprof/profile"), pathPrefix="/internal"), id="prefix of both"),
            pytest.param(only("processCPU", custom=custom("/sub" + CPU_PATH)), id="custom path under a prefix of its own"),
            pytest.param(only(processCPU={"path": "/cpu"}, custom=custom(CPU_PATH)), id="path of its own"),
        ],
    )
    def test_within_an_object(self, config: dict[str, Any]) -> None:
        found = memory("a", profilingConfig=config)
        mine = decide([found])[found.ref]
        assert types(mine.scrapes) == ["process_cpu"]
        (duplicate,) = mine.duplicates
        assert duplicate.scrape.profile.type == "custom0"
        assert "would run beside process_cpu of shop/a: a process takes one CPU profile at a time" in duplicate.message

    def test_two_custom_profiles(self) -> None:
        found = memory("a", profilingConfig=only(custom=custom(CPU_PATH, "/x" + CPU_PATH)))
        assert types(decide([found])[found.ref].scrapes) == ["custom0"]

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(cpu("b", params={"x": ["1"]}), id="other params"),
            pytest.param(cpu("b", scheme="https"), id="another scheme"),
            pytest.param(cpu("b", profilingConfig=only("processCPU", pathPrefix="/x")), id="another path"),
            pytest.param(cpu("b", port=6060, container="second"), id="another container of the pod"),
            pytest.param(cpu("b", profilingConfig=only(custom=custom(CPU_PATH))), id="custom"),
            pytest.param(cpu("b", selector={"matchLabels": {"no": "pod"}}, **FIXED), id="static target of the same address"),
        ],
    )
    def test_between_objects(self, other: Wanted) -> None:
        first = cpu("a")
        pods = [pod("web", "shop", container("app", Port("pprof", 6060)), container("second"))]
        for objects in ([first, other], [other, first]):
            plans = decide(objects, pods)
            assert types(plans[first.ref].scrapes) == ["process_cpu"]
            assert plans[other.ref].scrapes == []
            assert plans[other.ref].duplicates[0].winner.source == first.ref

    def test_another_port_is_another_process(self) -> None:
        first, second = cpu("a"), cpu("b", port=6061)
        plans = decide([first, second])
        assert types(plans[second.ref].scrapes) == ["process_cpu"]

    def test_fgprof_may_run_beside_it(self) -> None:
        found = memory("a", profilingConfig=only("processCPU", "fgprof"))
        mine = decide([found])[found.ref]
        assert types(mine.scrapes) == ["process_cpu", "fgprof"]
        assert mine.duplicates == []

    def test_the_loser_keeps_its_other_profiles(self) -> None:
        first, second = cpu("a"), memory("b", profilingConfig=only("processCPU", "memory"))
        plans = decide([first, second])
        assert types(plans[second.ref].scrapes) == ["memory"]

    def test_a_loser_takes_nothing_from_others(self) -> None:
        # b loses its CPU profile to a, so c must not be told that b has it.
        first, second, third = cpu("a"), cpu("b", params={"x": ["1"]}), cpu("c", params={"x": ["1"]})
        assert decide([third, second, first])[third.ref].duplicates[0].winner.source == first.ref


def test_suspended_objects_have_no_plan_and_no_claims() -> None:
    suspended, other = memory("a", suspend=True), memory("b")
    plans = decide([suspended, other])
    assert plans.keys() == {other.ref}
    assert plans[other.ref].duplicates == []


def test_counts_of_pods() -> None:
    pods = [
        pod("up", labels={"app": "x"}),
        pod("starting", labels={"app": "x"}, ready=False, ip="10.0.0.2"),
        pod("pending", labels={"app": "x"}, ready=False, ip="", phase="Pending"),
        pod("portless", "shop", container("app"), labels={"app": "x"}, ip="10.0.0.3"),
        pod("another app", labels={"app": "y"}, ip="10.0.0.4"),
        pod("elsewhere", "other", labels={"app": "x"}, ip="10.0.0.5"),
    ]
    found = wanted(selector={"matchLabels": {"app": "x"}}, profilingConfig=MEMORY, staticTargets=[{"address": "db:1"}])
    mine = decide([found], pods)[found.ref]
    assert (mine.pods, mine.healthy_pods) == (4, 2)
    assert [(d.pod.name, d.reason) for d in mine.drops] == [("pending", "NotRunning"), ("portless", "PortNotFound")]
    assert [t.pod or t.address for t in mine.targets] == ["starting", "up", "db:1"]
    assert len(mine.scrapes) == 3


def test_without_a_selector_pods_are_not_looked_at() -> None:
    found = wanted(staticTargets=[{"address": "db:1"}], namespaceSelector=ANY, profilingConfig=MEMORY)
    mine = decide([found])[found.ref]
    assert (mine.pods, [t.address for t in mine.targets]) == (0, ["db:1"])


@pytest.mark.parametrize("seed", range(20))
def test_order_has_no_effect(seed: int) -> None:
    objects = [
        memory("a", "shop", NEW, profilingConfig={}),
        memory("b", "shop", OLD, profilingConfig={}),
        memory("c", "other", OLD, profilingConfig=only("processCPU", "fgprof", "godeltaprofMemory", custom=custom(CPU_PATH))),
        memory("d", "third", OLD, profilingConfig={}, staticTargets=[{"address": "10.0.0.3:6060"}, {"address": "db:1"}]),
        memory("e", "third", OLD, profilingConfig={}, staticTargets=[{"address": "db:1"}]),
        cpu("f", "shop", NEW, params={"x": ["1"]}),
        cpu("g", "shop", NEW, suspend=True),
    ]
    pods = [pod(f"web-{n}", namespace, ip=f"10.0.0.{n}") for n in range(8) for namespace in ("shop", "other")]
    pods += [pod("portless-1", "shop", container("app")), pod("portless-2", "other", container("app"))]
    expected = decide(objects, pods)
    rng = random.Random(seed)
    rng.shuffle(objects)
    rng.shuffle(pods)
    assert decide(objects, pods) == expected


def test_a_bug_on_one_object_does_not_stop_the_others() -> None:
    broken = Pod("other", "web", "uid", labels=None)  # type: ignore[arg-type]
    victim = wanted("a", "other", selector={"matchLabels": {"app": "x"}})
    sound = wanted("b", "shop", profilingConfig=MEMORY)
    plans = decide([victim, sound], [broken, pod()])
    assert types(plans[sound.ref].scrapes) == ["memory"]
    assert isinstance(plans[victim.ref].bug, AttributeError)
    assert (plans[victim.ref].scrapes, plans[sound.ref].bug) == ([], None)
