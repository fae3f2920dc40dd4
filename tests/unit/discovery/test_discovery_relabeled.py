"""Relabeling of real targets: what may change, what may not, and what becomes of the labels."""

from __future__ import annotations

from typing import Any

import pytest
from builders import container, only, pod, pods_in, spec, wanted

from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.discovery.targets import Drop, Found, of_pod, of_static
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape, Target

SOURCE = ObjectRef("shop", "checkout")
META = "__meta_kubernetes_"
V6 = pod(ip="2001:db8::1", annotations={"port": "8080"})


def to(target: str, value: str, **more: Any) -> dict[str, Any]:
    """A step that writes a constant."""
    return {"targetLabel": target, "replacement": value, **more}


def found(steps: list[dict[str, Any]], given: Pod | None = None, **fields: Any) -> Found:
    return of_pod(spec(relabelings=steps, **fields), SOURCE, given or pod(annotations={"port": "8080"}))


def target(*steps: dict[str, Any], **fields: Any) -> Target:
    (made,) = found(list(steps), **fields).targets
    return made


def drop(*steps: dict[str, Any], **fields: Any) -> Drop:
    (made,) = found(list(steps), **fields).drops
    return made


def labels(*steps: dict[str, Any], **fields: Any) -> dict[str, str]:
    return dict(target(*steps, **fields).labels)


UNCHANGED = labels()


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        pytest.param({"sourceLabels": [f"{META}pod_name"], "targetLabel": "who"}, {"who": "web-0"}, id="from a pod"),
        pytest.param({"sourceLabels": ["pod", "container"], "targetLabel": "who"}, {"who": "web-0;app"}, id="from own labels"),
        pytest.param(
            {"sourceLabels": ["job", "namespace"], "targetLabel": "who"}, {"who": "shop/checkout;shop"}, id="from the job"
        ),
        pytest.param({"sourceLabels": ["instance", "service_name"], "targetLabel": "who"}, {"who": ";"}, id="not yet there"),
        pytest.param(to("service_name", "mine"), {"service_name": "mine"}, id="service_name"),
        pytest.param(to("job", "mine"), {"job": "mine"}, id="job"),
        pytest.param(to("instance", "mine"), {"instance": "mine"}, id="instance"),
        pytest.param(to("pod", "mine"), {"pod": "mine"}, id="pod"),
        pytest.param(to("namespace", "forged"), {}, id="namespace can't be forged"),
        pytest.param(to("__tmp", "x"), {}, id="two underscores are not sent"),
        pytest.param(to("__name__", "x"), {}, id="nor is a name"),
        pytest.param(to("__delta__", "true"), {}, id="nor what tells of differences"),
        pytest.param(
            {"action": "labeldrop", "regex": "pod|namespace|job|container"}, {"pod": "", "container": ""}, id="labeldrop"
        ),
        pytest.param({"action": "labelkeep", "regex": "__.*|pod"}, {"container": ""}, id="labelkeep"),
        pytest.param(
            {"action": "labelmap", "regex": f"{META}pod_annotation_(.+)", "replacement": "a_$1"},
            {"a_port": "8080"},
            id="labelmap",
        ),
        pytest.param(
            {"action": "labelmap", "regex": "__address__()", "replacement": "$1"}, {}, id="a name that is none is left out"
        ),
        pytest.param(
            {"action": "labelmap", "regex": f"{META}pod_label_(.+)"}, {}, id="a name that starts with a digit is left out"
        ),
    ],
)
def test_labels(step: dict[str, Any], changed: dict[str, str]) -> None:
    """An empty value in `changed` stands for a label that is gone."""
    expected = {name: value for name, value in {**UNCHANGED, **changed}.items() if value}
    assert labels(step, given=pod(labels={"9x": "y"}, annotations={"port": "8080"})) == expected


def test_steps_see_pod_target_labels_and_what_static_targets_are_given() -> None:
    copy = {"sourceLabels": ["team"], "targetLabel": "owner"}
    assert labels(copy, given=pod(labels={"team": "a"}), podTargetLabels=["team"])["owner"] == "a"
    static = [{"address": "db:6060", "labels": {"team": "a", "__hidden": "b", "namespace": "forged"}}]
    hidden = {"sourceLabels": ["__hidden", "namespace"], "targetLabel": "seen"}
    (made,) = of_static(spec(staticTargets=static, relabelings=[copy, hidden]), SOURCE).targets
    assert dict(made.labels) == {
        "instance": "db:6060",
        "job": "shop/checkout",
        "namespace": "shop",
        "owner": "a",
        "seen": "b;shop",
        "service_name": "unspecified",
        "team": "a",
    }


@pytest.mark.parametrize("given", [None, V6])
def test_the_port_may_change(given: Pod | None) -> None:
    """As users of Prometheus write it: brackets around an IPv6 address come from elsewhere."""
    ip, host = ("2001:db8::1", "[2001:db8::1]") if given else ("10.0.0.1", "10.0.0.1")
    port = {"sourceLabels": [f"{META}pod_ip", f"{META}pod_annotation_port"], "separator": ":", "targetLabel": "__address__"}
    made = target(port, given=given)
    assert (made.address, made.labels["instance"]) == (f"{host}:8080", f"{host}:8080")
    assert made.discovered["__address__"] == f"{host}:6060"
    assert made.discovered[f"{META}pod_ip"] == ip
    assert made.key != target(given=given).key
    swap = {"sourceLabels": ["__address__"], "regex": "(.+):[0-9]+", "targetLabel": "__address__", "replacement": "${1}:07070"}
    assert target(swap, given=given).address == f"{host}:7070"


@pytest.mark.parametrize(
    ("address", "fix"),
    [
        ("10.0.0.2:6060", "only the port may change"),
        ("evil.example:6060", "only the port may change"),
        ("10.0.0.1.evil.example:6060", "only the port may change"),
        ("x@10.0.0.1:6060", "only the port may change"),
        ("10.0.0.1:80@evil.example:6060", "only the port may change"),
        ("[10.0.0.1]:6060", "only the port may change"),
        ("10.0.0.1", "only the port may change"),
        ("", "only the port may change"),
        (":6060", "only the port may change"),
        ("10.0.0.1:", "from 1 to 65535"),
        ("10.0.0.1:0", "from 1 to 65535"),
        ("10.0.0.1:65536", "from 1 to 65535"),
        ("10.0.0.1:-1", "from 1 to 65535"),
        ("10.0.0.1:٦", "from 1 to 65535"),
        ("10.0.0.1:80/x", "from 1 to 65535"),
        ("10.0.0.1:80\n", "from 1 to 65535"),
    ],
)
def test_the_host_is_protected(address: str, fix: str) -> None:
    made = drop(to("__address__", address))
    assert (made.reason, made.pod) == ("InvalidTarget", ObjectRef("shop", "web-0"))
    assert "__address__" in made.message
    assert fix in made.message
    assert "evil" not in made.message


def test_a_target_without_address_is_none() -> None:
    assert drop({"action": "labelkeep", "regex": "pod"}).reason == "InvalidTarget"


@pytest.mark.parametrize(
    ("scheme", "expected"), [("https", "https"), ("", "http"), ("ftp", None), ("HTTP", None), ("http://x", None)]
)
def test_scheme(scheme: str, expected: str | None) -> None:
    step = to("__scheme__", scheme)
    if expected is None:
        assert "__scheme__ must be http or https" in drop(step).message
    else:
        assert target(step).scheme == expected


def planned(**fields: Any) -> ObjectPlan:
    one = wanted(**fields)
    discovery = Discovery(pods_in([pod(annotations={"port": "8080"})]), 1 << 20)
    discovery.want({one.ref: one})
    return discovery[one.ref]


def only_scrape(*steps: dict[str, Any], **fields: Any) -> Scrape:
    (made,) = planned(relabelings=list(steps), profilingConfig=only("goroutine", **fields.pop("config", {})), **fields).scrapes
    return made


def test_parameters() -> None:
    params = {"debug": ["0", "1"], "other": ["x"]}
    assert only_scrape(params=params).params == (("debug", ("0", "1")), ("other", ("x",)))
    changed = only_scrape(to("__param_debug", "2"), to("__param_new", "y"), to("__param_other", ""), params=params)
    assert changed.params == (("debug", ("2", "1")), ("new", ("y",)), ("other", ("x",)))
    assert changed.key != only_scrape(params=params).key


def test_the_operator_alone_says_how_long_a_profile_is() -> None:
    assert "deltaProfilingDuration" in drop(to("__param_seconds", "3600")).message


@pytest.mark.parametrize(
    ("own", "given", "path"),
    [
        (None, None, "/debug/pprof/goroutine"),
        ("/own", None, "/own/debug/pprof/goroutine"),
        (None, "/a", "/a/debug/pprof/goroutine"),
        ("/own", "/a/b", "/a/b/debug/pprof/goroutine"),
        ("/own", "", "/debug/pprof/goroutine"),
    ],
)
def test_path_prefix(own: str | None, given: str | None, path: str) -> None:
    steps = [] if given is None else [to("__profile_path_prefix__", given)]
    assert only_scrape(*steps, config={"pathPrefix": own} if own else {}).profile.path == path


@pytest.mark.parametrize("prefix", ["a", "/", "/a/", "/a?x", "/a#x", "/a b", "/a\nb", "/a\x7fb", "/" + "a" * 512])
def test_path_prefix_that_is_none(prefix: str) -> None:
    assert "__profile_path_prefix__ must start with '/'" in drop(to("__profile_path_prefix__", prefix)).message


def test_dropped_by_a_step() -> None:
    made = drop(to("a", "b"), {"action": "Drop", "sourceLabels": ["a"], "regex": "b"})
    assert (made.reason, made.message) == ("Relabeled", "dropped by relabelings[1] (drop)")


def test_work_that_is_too_much_for_one_pod_is_none_for_the_others() -> None:
    steps = [{"sourceLabels": [f"{META}pod_annotation_x"] * 30, "targetLabel": "__tmp"}]
    pods = [pod("a"), pod("b", annotations={"x": "y" * 250_000}), pod("c")]
    a, b, c = (of_pod(spec(relabelings=steps), SOURCE, one) for one in pods)
    assert [len(one.targets) for one in (a, b, c)] == [1, 0, 1]
    (dropped,) = b.drops
    assert (dropped.pod.name, dropped.reason) == ("b", "LimitExceeded")
    assert "relabelings[0]" in dropped.message


def test_static_targets_are_dropped_by_their_address() -> None:
    static = [{"address": "db:6060"}, {"address": "other:6060"}]
    steps = [{"action": "keep", "sourceLabels": ["__address__"], "regex": "db:.*"}]
    made = planned(staticTargets=static, relabelings=steps)
    assert [one.address for one in made.targets] == ["db:6060"]
    assert [(one.pod, one.reason) for one in made.drops] == [(ObjectRef("shop", "other:6060"), "Relabeled")]


def test_a_pod_that_is_not_running_is_not_relabeled() -> None:
    waiting = pod("b", "shop", container("app", Port("pprof", 6060)), phase="Pending")
    steps = [{"action": "drop", "sourceLabels": ["pod"]}]
    assert [found(steps, one).drops for one in (pod("a"), waiting)] == [
        (Drop(ObjectRef("shop", "a"), "Relabeled", "dropped by relabelings[0] (drop)"),),
        (Drop(ObjectRef("shop", "b"), "NotRunning", "phase Pending, an IP"),),
    ]
