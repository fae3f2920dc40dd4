"""The contract is section 4 of the design: what annotations of a pod change, and what is told when they are wrong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from builders import container, only, pod, spec
from hypothesis import given
from hypothesis import strategies as st

from pyroscope_operator.discovery.annotations import read
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.discovery.targets import Drop, Found, of_pod
from pyroscope_operator.model.ref import ObjectRef

SOURCE = ObjectRef("shop", "checkout")
PREFIX = "profiles.grafana.com"
DEFAULTS = {"memory", "block", "goroutine", "mutex", "process_cpu"}
ALL = {"process_cpu", "goroutine", "fgprof", "godeltaprof_memory", "godeltaprof_mutex", "godeltaprof_block"}
KEYS = ("scrape", "port", "port_name", "scheme", "path", "container")
NAMES = (
    "cpu",
    "memory",
    "goroutine",
    "block",
    "mutex",
    "fgprof",
    "godeltaprof_memory",
    "godeltaprof_mutex",
    "godeltaprof_block",
)
TWO = (container("app", Port("http", 8080), Port("pprof", 6060)), container("proxy", Port("admin", 9901)))

Taken = dict[str, set[str]]
"""By `scheme://address container` the types, in the words of targets."""


def noted(notes: dict[str, str], prefix: str = PREFIX) -> dict[str, str]:
    return {f"{prefix}/{name}": value for name, value in notes.items()}


def found(mode: str, notes: dict[str, str], *containers: Any, given: Pod | None = None, **fields: Any) -> Found:
    annotations = {"mode": mode, **fields.pop("annotations", {})}
    subject = given or pod("web-0", "shop", *containers, annotations=noted(notes))
    return of_pod(spec(annotations=annotations, **fields), SOURCE, subject)


def taken(mode: str, notes: dict[str, str], *containers: Any, **fields: Any) -> Taken:
    made = found(mode, notes, *containers, **fields)
    assert made.drops == ()
    return places(made)


def places(made: Found) -> Taken:
    return {f"{t.scheme}://{t.address} {t.container}": {p.type for p in t.profiles} for t in made.targets}


def types(mode: str, notes: dict[str, str], **fields: Any) -> set[str]:
    """Of the one target that there is."""
    (only_one,) = taken(mode, notes, **fields).values()
    return only_one


def drop(mode: str, notes: dict[str, str], *containers: Any, **fields: Any) -> Drop:
    (made,) = found(mode, notes, *containers, **fields).drops
    return made


@pytest.mark.parametrize(
    "notes",
    [
        {"scrape": "false"},
        {"scrape": "maybe"},
        {"cpu.scrape": "false", "port": "1", "memory.path": "/other"},
        {"types": "nothing"},
    ],
)
def test_ignored(notes: dict[str, str]) -> None:
    plain, annotated = found("Ignore", {}), found("Ignore", notes)
    assert places(annotated) == places(plain) == {"http://10.0.0.1:6060 app": DEFAULTS}
    assert annotated.targets[0].profiles == plain.targets[0].profiles


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        pytest.param({"cpu.scrape": "true"}, {"process_cpu"}, id="one type"),
        pytest.param({"process_cpu.scrape": "true"}, {"process_cpu"}, id="cpu by its other name"),
        pytest.param({f"{name}.scrape": "true" for name in NAMES}, ALL, id="all types"),
        pytest.param({"scrape": "true"}, DEFAULTS, id="those of the object"),
        pytest.param({"scrape": "true", "types": "cpu,memory"}, {"process_cpu", "memory"}, id="a list"),
        pytest.param({"scrape": "true", "types": " cpu , fgprof,"}, {"process_cpu", "fgprof"}, id="a list with blanks"),
        pytest.param({"scrape": "true", "memory.scrape": "false"}, DEFAULTS - {"memory"}, id="all but one"),
        pytest.param({"scrape": "true", "fgprof.scrape": "true"}, DEFAULTS | {"fgprof"}, id="one more"),
        pytest.param({"scrape": "true", "types": "cpu", "block.scrape": "true"}, {"process_cpu", "block"}, id="list and key"),
        pytest.param({"scrape": "true", "types": "cpu,block", "block.scrape": "false"}, {"process_cpu"}, id="key beats list"),
        pytest.param({"memory.scrape": "true", "types": "cpu"}, {"memory"}, id="a list alone asks for nothing"),
        pytest.param({"cpu.scrape": "true", "scrape": ""}, {"process_cpu"}, id="an empty value says nothing"),
        pytest.param({"cpu.scrape": "true", "cpu": "x", "team": "blue", "a.b": "x"}, {"process_cpu"}, id="keys of others"),
    ],
)
def test_required(notes: dict[str, str], expected: set[str]) -> None:
    assert types("Require", notes) == expected


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        pytest.param({}, DEFAULTS, id="nothing"),
        pytest.param({"scrape": "true"}, DEFAULTS, id="nothing new"),
        pytest.param({"memory.scrape": "false", "fgprof.scrape": "true"}, DEFAULTS - {"memory"} | {"fgprof"}, id="off and on"),
        pytest.param({"types": "cpu,fgprof"}, {"process_cpu", "fgprof"}, id="a list"),
        pytest.param({"types": "cpu", "memory.scrape": "true"}, {"process_cpu", "memory"}, id="list and key"),
        pytest.param({"cpu.port": "6060"}, DEFAULTS, id="a setting asks for nothing and takes nothing away"),
    ],
)
def test_overridden(notes: dict[str, str], expected: set[str]) -> None:
    assert types("Override", notes) == expected


@pytest.mark.parametrize("plain", ["memory", "mutex", "block"])
@pytest.mark.parametrize(
    ("object_has", "notes", "delta"),
    [
        (False, {"godeltaprof_X.scrape": "true"}, True),
        (False, {"godeltaprof_X.scrape": "true", "X.scrape": "true"}, True),
        (True, {}, True),
        (True, {"X.scrape": "true"}, False),
        (True, {"types": "X"}, False),
        (True, {"types": "X, godeltaprof_X"}, True),
        (True, {"types": "godeltaprof_X", "X.scrape": "true"}, False),
        (True, {"godeltaprof_X.scrape": "false"}, False),
    ],
)
@pytest.mark.parametrize("mode", ["Override", "Require"])
def test_one_of_two_that_are_the_same_series(mode: str, plain: str, object_has: bool, notes: dict[str, str], delta: bool) -> None:
    """godeltaprof takes the place of the other one, unless the pod asks for the other one more plainly."""
    asked = {key.replace("X", plain): value.replace("X", plain) for key, value in notes.items()}
    config = only(plain, *[f"godeltaprof{plain.title()}"] * object_has)
    assert types(mode, {"scrape": "true", **asked}, profilingConfig=config) == {f"godeltaprof_{plain}" if delta else plain}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["Override", "Require"])
def test_every_key_of_every_type(mode: str, name: str) -> None:
    kind = {"cpu": "process_cpu"}.get(name, name)
    config = {"profilingConfig": only()}
    base = {f"{name}.scrape": "true"}
    admin = "http://10.0.0.1:9901 proxy"
    assert taken(mode, base, *TWO, **config) == {"http://10.0.0.1:6060 app": {kind}}
    assert taken(mode, base | {f"{name}.port": "9901"}, *TWO, **config) == {admin: {kind}}
    assert taken(mode, base | {f"{name}.port_name": "admin"}, *TWO, **config) == {admin: {kind}}
    assert taken(mode, base | {f"{name}.scheme": "https"}, *TWO, **config) == {"https://10.0.0.1:6060 app": {kind}}
    assert taken(mode, base | {f"{name}.container": "proxy"}, *TWO, **config) == {admin: {kind}}
    (target,) = found(mode, base | {f"{name}.path": "/my/own"}, *TWO, **config).targets
    assert [profile.path for profile in target.profiles] == ["/my/own"]


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        pytest.param({"port": "8080"}, "8080 app", id="short form"),
        pytest.param({"port": "8080", "cpu.port": "9901"}, "9901 proxy", id="key beats short form"),
        pytest.param({"port": "8080", "cpu.port_name": "admin"}, "9901 proxy", id="a name, too"),
        pytest.param({"cpu.port": "8080", "cpu.port_name": "admin"}, "8080 app", id="a number beats a name"),
        pytest.param({"port": "7777"}, "7777 app", id="undeclared: the first container"),
        pytest.param({"cpu.port": "7777", "cpu.container": "proxy"}, "7777 proxy", id="undeclared: the one that is named"),
        pytest.param({"cpu.port": "8080", "cpu.container": "proxy"}, "8080 proxy", id="declared by another one"),
        pytest.param({"cpu.port": "06060"}, "6060 app", id="a leading zero"),
        pytest.param({"cpu.port": "8080", "process_cpu.port": "9901"}, "8080 app", id="cpu beats process_cpu"),
    ],
)
def test_ports(notes: dict[str, str], expected: str) -> None:
    assert list(taken("Require", {"cpu.scrape": "true", **notes}, *TWO)) == [f"http://10.0.0.1:{expected}"]


def test_the_short_form_beats_the_object() -> None:
    assert list(taken("Override", {"port": "8080"}, *TWO, port="admin")) == ["http://10.0.0.1:8080 app"]


def test_an_undeclared_port_belongs_to_the_default_container() -> None:
    main = {"kubectl.kubernetes.io/default-container": "proxy"}
    subject = pod("web-0", "shop", *TWO, annotations=main | noted({"scrape": "true", "port": "7777"}))
    assert list(places(found("Require", {}, given=subject))) == ["http://10.0.0.1:7777 proxy"]


def test_the_objects_port_scheme_and_container_where_nothing_is_annotated() -> None:
    fields = {"port": "admin", "container": "proxy", "scheme": "https", "profilingConfig": only("memory", "mutex")}
    expected = {"https://10.0.0.1:9901 proxy": {"memory"}, "http://10.0.0.1:1234 proxy": {"mutex"}}
    assert taken("Override", {"mutex.port": "1234", "mutex.scheme": "http"}, *TWO, **fields) == expected


def test_types_at_one_place_share_one_target() -> None:
    notes = {
        "scrape": "true",
        "cpu.port": "9901",
        "memory.port_name": "admin",
        "block.port": "9901",
        "block.scheme": "https",
        "mutex.container": "proxy",
        "godeltaprof_memory.scrape": "false",
    }
    made = found("Require", notes, *TWO)
    assert places(made) == {
        "http://10.0.0.1:9901 proxy": {"process_cpu", "memory", "mutex"},
        "https://10.0.0.1:9901 proxy": {"block"},
        "http://10.0.0.1:6060 app": {"goroutine"},
    }
    assert len({target.key for target in made.targets}) == 3
    assert {target.labels["instance"] for target in made.targets} == {"10.0.0.1:9901", "10.0.0.1:6060"}
    assert {target.labels["service_name"] for target in made.targets} == {"shop/proxy", "shop/app"}


def test_places_that_relabelings_lead_to_one_are_one() -> None:
    steps = [{"targetLabel": "__address__", "replacement": "10.0.0.1:1234"}]
    notes = {"scrape": "true", "cpu.port": "8080"}
    assert taken("Require", notes, relabelings=steps) == {"http://10.0.0.1:1234 app": DEFAULTS}
    port = {"sourceLabels": ["__meta_kubernetes_pod_container_port_number"], "targetLabel": "port"}
    apart = found("Require", notes, relabelings=[*steps, port]).targets
    assert [target.labels["port"] for target in apart] == ["8080", "6060"], "their series are others"


def test_relabelings_see_each_target() -> None:
    steps = [
        {"action": "drop", "sourceLabels": ["__address__", "__scheme__"], "regex": ".*:9901;https"},
        {"sourceLabels": ["__scheme__"], "targetLabel": "seen"},
        {"targetLabel": "__scheme__", "replacement": ""},
    ]
    notes = {"scrape": "true", "types": "cpu,memory,block", "cpu.port": "9901", "cpu.scheme": "https", "memory.scheme": "https"}
    made = found("Require", notes, *TWO, relabelings=steps)
    assert places(made) == {"https://10.0.0.1:6060 app": {"memory"}, "http://10.0.0.1:6060 app": {"block"}}
    assert [target.labels["seen"] for target in made.targets] == ["https", "http"]
    assert [drop.reason for drop in made.drops] == ["Relabeled"]


@pytest.mark.parametrize("steps", [[], [{"targetLabel": "__profile_path_prefix__", "replacement": "/relabeled"}]])
def test_an_annotated_path_is_complete(steps: list[dict[str, Any]]) -> None:
    config = {"pathPrefix": "/internal", **only("processCPU", "mutex")}
    (target,) = found("Override", {"cpu.path": "/my/cpu"}, profilingConfig=config, relabelings=steps).targets
    prefix = "/relabeled" if steps else "/internal"
    assert {p.type: p.path for p in target.profiles} == {"process_cpu": "/my/cpu", "mutex": f"{prefix}/debug/pprof/mutex"}


CUSTOM = [
    {"name": "threads", "enabled": True, "path": "/threads"},
    {"name": "spare", "enabled": False, "path": "/spare"},
]


@pytest.mark.parametrize(
    ("mode", "notes", "expected"),
    [
        ("Override", {"cpu.scrape": "false"}, {"memory", "threads"}),
        ("Override", {"types": "cpu"}, {"process_cpu", "threads"}),
        ("Override", {"types": "cpu,spare"}, {"process_cpu", "threads", "spare"}),
        ("Require", {"scrape": "true"}, {"memory", "process_cpu", "threads"}),
        ("Require", {"scrape": "true", "types": "cpu"}, {"process_cpu"}),
        ("Require", {"scrape": "true", "types": "spare"}, {"spare"}),
        ("Require", {"cpu.scrape": "true"}, {"process_cpu"}),
    ],
)
def test_custom_profiles(mode: str, notes: dict[str, str], expected: set[str]) -> None:
    assert types(mode, notes, profilingConfig=only("memory", "processCPU", custom=CUSTOM)) == expected


def test_custom_profiles_go_where_the_short_form_says() -> None:
    config = only("memory", custom=CUSTOM)
    expected = {"http://10.0.0.1:6060 app": {"memory"}, "http://10.0.0.1:9901 proxy": {"threads"}}
    assert taken("Override", {"port": "9901", "memory.port": "6060"}, *TWO, profilingConfig=config) == expected


@pytest.mark.parametrize("mode", ["Override", "Require"])
def test_prefix(mode: str) -> None:
    fields = {"annotations": {"prefix": "example.com"}}
    mine = noted({"scrape": "true", "types": "cpu"}, "example.com")
    others = noted({"scrape": "false"}) | noted({"types": "block", "port": "1"}, "example.com.au")
    assert places(found(mode, {}, given=pod(annotations=mine | others), **fields)) == {
        "http://10.0.0.1:6060 app": {"process_cpu"}
    }


@pytest.mark.parametrize(
    ("mode", "notes", "reason", "says"),
    [
        ("Require", {}, "NotAnnotated", 'annotate the pod with profiles.grafana.com/scrape: "true"'),
        ("Require", {"port": "6060", "types": "cpu"}, "NotAnnotated", "profiles.grafana.com/scrape"),
        ("Require", {"cpu.scrape": "false"}, "NotAnnotated", "profiles.grafana.com/scrape"),
        ("Require", {"team": "blue"}, "NotAnnotated", "profiles.grafana.com/scrape"),
        ("Require", {"scrape": "false"}, "OptedOut", "profiles.grafana.com/scrape"),
        ("Require", {"scrape": "false", "cpu.scrape": "true"}, "OptedOut", "profiles.grafana.com/scrape"),
        ("Override", {"scrape": "false", "cpu.scrape": "true", "port": "x"}, "OptedOut", "profiles.grafana.com/scrape"),
        ("Override", {f"{name}.scrape": "false" for name in NAMES}, "OptedOut", "no profile type is left"),
    ],
)
def test_pods_that_are_left_out(mode: str, notes: dict[str, str], reason: str, says: str) -> None:
    made = found(mode, notes)
    assert (made.targets, [d.reason for d in made.drops]) == ((), [reason])
    assert says in made.drops[0].message


def test_a_pod_that_asks_for_what_the_object_does_not_enable() -> None:
    made = drop("Require", {"scrape": "true"}, profilingConfig=only())
    assert (made.reason, made.message) == (
        "NotAnnotated",
        "no profile type is left: name some in the annotation profiles.grafana.com/types",
    )


@pytest.mark.parametrize(
    ("notes", "expected"),
    [({}, "NotAnnotated"), ({"scrape": "false"}, "OptedOut"), ({"scrape": "true", "port": "x"}, "NotRunning")],
)
def test_a_pod_that_is_not_running(notes: dict[str, str], expected: str) -> None:
    assert drop("Require", {}, given=pod(annotations=noted(notes), phase="Pending")).reason == expected


CPU_LOST = DEFAULTS - {"process_cpu"}
LONG = "x" * 100_000


@pytest.mark.parametrize(
    ("notes", "names", "says", "left"),
    [
        ({"cpu.scrape": "yes"}, "cpu.scrape", 'must be "true" or "false"', CPU_LOST),
        ({"cpu.scrape": "True"}, "cpu.scrape", 'must be "true" or "false"', CPU_LOST),
        ({"cpu.scrape": LONG}, "cpu.scrape", 'must be "true" or "false"', CPU_LOST),
        ({"cpu.port": "abc"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "0"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "70000"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "-1"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "٦٠"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "6060\n"}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port": "9" * 10_000}, "cpu.port", "from 1 to 65535", CPU_LOST),
        ({"cpu.port_name": "Nope!"}, "cpu.port_name", "name of a container port", CPU_LOST),
        ({"cpu.port_name": "none"}, "cpu.port_name", "set profiles.grafana.com/cpu.port", CPU_LOST),
        ({"cpu.port_name": "admin", "cpu.container": "app"}, "cpu.port_name", "no port of the container", CPU_LOST),
        ({"cpu.scheme": "ftp"}, "cpu.scheme", "must be http or https", CPU_LOST),
        ({"cpu.scheme": "HTTPS"}, "cpu.scheme", "must be http or https", CPU_LOST),
        ({"cpu.path": "debug"}, "cpu.path", "starts with '/'", CPU_LOST),
        ({"cpu.path": "/debug?seconds=9"}, "cpu.path", "without '?'", CPU_LOST),
        ({"cpu.path": "/a b"}, "cpu.path", "blanks", CPU_LOST),
        ({"cpu.path": "/a\n"}, "cpu.path", "blanks", CPU_LOST),
        ({"cpu.path": f"/{LONG}"}, "cpu.path", "must be a path", CPU_LOST),
        ({"cpu.container": "none"}, "cpu.container", "names no container of the pod", CPU_LOST),
        ({"cpu.container": "N!"}, "cpu.container", "name of a container", CPU_LOST),
        ({"cpu.ports": "1"}, "cpu.ports", "is no key", CPU_LOST),
        ({"cpu.": "1"}, "cpu.", "is no key", CPU_LOST),
        ({"cpu.port.x": "1"}, "cpu.port.x", "is no key", CPU_LOST),
        ({f"cpu.{LONG}": "1"}, f"cpu.{LONG}"[:63], "is no key", CPU_LOST),
        ({"process_cpu.port": "x"}, "process_cpu.port", "from 1 to 65535", CPU_LOST),
        ({"heap.scrape": "true"}, "heap.scrape", "is of no profile type", DEFAULTS),
        ({"types": "cpu,heap"}, "types", "what is no profile type", {"process_cpu"}),
        ({"types": LONG}, "types", "what is no profile type", set()),
        ({"types": ","}, "types", "lists no profile type", set()),
        ({"port": "abc"}, "port", "from 1 to 65535", set()),
        ({"port": "abc", "cpu.port": "6060", "mutex.port_name": "pprof"}, "port", "from 1 to 65535", {"process_cpu", "mutex"}),
        ({"scrape": "yes"}, "scrape", 'must be "true" or "false"', set()),
        ({"scrape": "yes", "cpu.scrape": "true"}, "scrape", 'must be "true" or "false"', {"process_cpu"}),
        ({"scheme": "https"}, "scheme", "is no key", set()),
        ({"scheme": "https", "cpu.scheme": "http"}, "scheme", "is no key", {"process_cpu"}),
        ({"path": "/x"}, "path", "is no key", set()),
    ],
)
@pytest.mark.parametrize("mode", ["Override", "Require"])
def test_what_is_wrong_is_named_and_nothing_else_is_lost(
    mode: str, notes: dict[str, str], names: str, says: str, left: set[str]
) -> None:
    made = found(mode, {"scrape": "true"} | notes, *TWO)
    (told,) = made.drops
    assert (told.pod, told.reason) == (ObjectRef("shop", "web-0"), "InvalidAnnotation")
    assert told.message.startswith(f"{PREFIX}/{names} ")
    assert says in told.message
    assert len(told.message) < 400
    assert set().union(*places(made).values()) == left


def test_a_container_without_the_objects_port() -> None:
    made = found("Override", {"cpu.container": "proxy"}, *TWO, port="pprof")
    assert places(made) == {"http://10.0.0.1:6060 app": CPU_LOST}
    assert "profiles.grafana.com/cpu.container names a container without the port" in made.drops[0].message


@pytest.mark.parametrize(
    ("fields", "says"), [({"port": "none"}, "no container port named 'none'"), ({"container": "none"}, "correct spec.container")]
)
def test_the_objects_own_mistake_is_told_as_ever_and_once(fields: dict[str, Any], says: str) -> None:
    made = found("Override", {"cpu.port_name": "pprof", "cpu.container": "app"}, *TWO, **fields)
    assert places(made) == {"http://10.0.0.1:6060 app": {"process_cpu"}}
    assert [told.reason for told in made.drops] == ["PortNotFound"]
    assert says in made.drops[0].message


def test_an_annotated_port_name_is_not_to_blame_for_the_objects_container() -> None:
    assert drop("Require", {"cpu.scrape": "true", "cpu.port_name": "pprof"}, *TWO, container="none").reason == "PortNotFound"


def test_problems_of_a_pod_are_told_together_and_counted() -> None:
    made = drop("Require", {"scrape": "true", **{f"cpu.x{number}": "1" for number in range(2000)}, "port": "x"}, *TWO)
    assert made.message.count("is no key") == 3
    assert made.message.endswith("(and 1998 more)")
    assert len(made.message) < 1000


@pytest.mark.parametrize(
    ("fields", "delta", "notes", "kept"),
    [
        ({"interval": "1s"}, True, {"fgprof.scrape": "true"}, False),
        ({"interval": "1s"}, True, {"types": "fgprof, goroutine"}, False),
        ({"interval": "2s"}, True, {"fgprof.scrape": "true"}, True),
        ({"interval": "31s"}, False, {"fgprof.scrape": "true"}, False),
        ({"interval": "31s", "scrapeTimeout": "31s"}, False, {"fgprof.scrape": "true"}, True),
    ],
)
def test_a_type_that_the_objects_interval_has_no_time_for(
    fields: dict[str, Any], delta: bool, notes: dict[str, str], kept: bool
) -> None:
    """The object could not enable it either: `seconds=0` would be 30 seconds for Go."""
    config = only("goroutine", fgprof={"enabled": False, "delta": delta})
    made = found("Override", notes, profilingConfig=config, **fields)
    (left,) = places(made).values()
    assert left == ({"goroutine", "fgprof"} if kept else {"goroutine"})
    assert [told.reason for told in made.drops] == ([] if kept else ["InvalidAnnotation"])
    assert kept or made.drops[0].message.startswith(f"{PREFIX}/{next(iter(notes))} asks for a type that needs an interval ")


def test_ten_thousand_pods_that_ask_for_nothing_cost_little() -> None:
    asking = spec(annotations={"mode": "Require"})
    pods = [pod(f"web-{number}", annotations={"a": "b"}) for number in range(10_000)]
    of_pod(asking, SOURCE, pods[0])
    tracemalloc.start()
    try:
        made = [of_pod(asking, SOURCE, one) for one in pods]
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len({id(one.drops[0].message) for one in made}) == 1
    assert used < 400 * len(pods)


VALUES = st.one_of(
    st.sampled_from(["true", "false", "", "6060", "0", "abc", "pprof", "admin", "http", "https", "/x", "x", "app", "proxy"]),
    st.just("cpu,block"),
    st.text(max_size=20),
)
WRITTEN = st.one_of(
    st.sampled_from(["scrape", "port", "types", "scheme"]),
    st.sampled_from([f"{name}.{key}" for name in (*NAMES, "heap") for key in (*KEYS, "x")]),
    st.text(max_size=12),
)
NOTES = st.dictionaries(st.one_of(WRITTEN.map(lambda name: f"{PREFIX}/{name}"), st.text(max_size=8)), VALUES, max_size=12)


@given(
    notes=NOTES,
    mode=st.sampled_from(["Ignore", "Override", "Require"]),
    containers=st.sampled_from([(), TWO[:1], TWO]),
    ip=st.sampled_from(["10.0.0.1", "2001:db8::1"]),
    port=st.sampled_from([None, 6060, "admin", "none"]),
)
def test_never_raises_and_never_leads_elsewhere(
    notes: dict[str, str], mode: str, containers: tuple[Any, ...], ip: str, port: int | str | None
) -> None:
    subject = Pod("shop", "web-0", "uid", "Running", ip, ready=True, annotations=notes, containers=containers)
    made = of_pod(spec(annotations={"mode": mode}, port=port), SOURCE, subject)
    assert made.targets or made.drops
    host = f"[{ip}]" if ":" in ip else ip
    taken: list[str] = []
    for target in made.targets:
        assert target.address.rpartition(":")[0] == host
        assert 1 <= int(target.address.rpartition(":")[2]) <= 65535
        assert target.container in {one.name for one in containers}
        assert target.scheme in {"http", "https"}
        assert target.profiles
        assert all(profile.path.startswith("/") and profile.seconds != 0 for profile in target.profiles)
        taken += [profile.name for profile in target.profiles]
    assert len(taken) == len(set(taken)), "no series has two sources"
    assert len({target.key for target in made.targets}) == len(made.targets)
    assert all(len(told.message) < 1500 for told in made.drops)
    assert made == of_pod(spec(annotations={"mode": mode}, port=port), SOURCE, subject)


@given(NOTES)
def test_reading_never_raises(notes: dict[str, str]) -> None:
    said = read(notes, PREFIX)
    assert (said is None) == (not any(key.startswith(f"{PREFIX}/") and value for key, value in notes.items()))
