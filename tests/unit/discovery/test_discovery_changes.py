"""One change at a time leads to what everything at once leads to, and the changes say what became different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from builders import MIB, container, only, pod, wanted
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import plan, told

from pyroscope_operator.discovery.discovery import Discovery
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.discovery.wanted import Wanted
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape

NAMESPACES = ("shop", "other")
SELECTORS: tuple[dict[str, Any], ...] = (
    {},
    {"any": True},
    {"matchNames": list(NAMESPACES)},
    {"matchLabels": {"team": "x"}},
    {"matchNames": ["other"], "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["x"]}]},
)
CPU_PATH = "/debug/pprof/profile"
CONFIGS = (
    only("memory"),
    only("memory", "processCPU"),
    only("processCPU", custom=[{"name": "cpu2", "enabled": True, "path": CPU_PATH}]),
    only(custom=[{"name": "cpu2", "enabled": True, "path": CPU_PATH}]),
)

NOTES = (
    {},
    {"scrape": "true"},
    {"scrape": "false"},
    {"cpu.scrape": "true", "cpu.port": "6061"},
    {"scrape": "true", "types": "cpu,memory,mutex", "memory.port": "6061", "mutex.scheme": "ftp"},
)
"""Under the prefix; they make pods of no, one and two targets, and one whose targets meet another's."""


Event = Pod | Wanted | tuple[str, ObjectRef] | tuple[str, str, dict[str, str] | None] | None


class World:
    """Objects and pods, what the changes made of the scrapes, and the Discovery that was told of each change."""

    def __init__(self, cap: int | None = None) -> None:
        self.cap = cap
        self.pods: dict[ObjectRef, Pod] = {}
        self.objects: dict[ObjectRef, Wanted] = {}
        self.scrapes: dict[str, Scrape] = {}
        self.namespaces: dict[str, Mapping[str, str]] = {}
        self.discovery = Discovery(self.pods_in, MIB, cap, self.namespaces)

    def pods_in(self, namespaces: frozenset[str] | None) -> Iterator[Pod]:
        """As the store: not all at once."""
        return (pod for pod in self.pods.values() if namespaces is None or pod.namespace in namespaces)

    def put_pod(self, changed: Pod) -> None:
        self.pods[changed.ref] = changed
        self.discovery.see(changed.ref, changed)

    def remove_pod(self, ref: ObjectRef) -> None:
        self.pods.pop(ref, None)
        self.discovery.see(ref, None)

    def label(self, name: str, labels: Mapping[str, str] | None) -> None:
        """A namespace has these labels from now on; None: it is no more, though pods may be."""
        self.namespaces.pop(name, None)
        if labels is not None:
            self.namespaces[name] = labels
        self.discovery.see_namespace(name)

    def put_object(self, changed: Wanted) -> None:
        self.objects[changed.ref] = changed
        self.discovery.want(self.objects)

    def remove_object(self, ref: ObjectRef) -> None:
        self.objects.pop(ref, None)
        self.discovery.want(self.objects)

    def happens(self, event: Event) -> set[ObjectRef]:
        """Something that the discovery is not told of yet; returns the pods that changed."""
        match event:
            case Pod():
                self.pods[event.ref] = event
                return {event.ref}
            case Wanted():
                self.objects[event.ref] = event
            case ("pod", ref) if self.pods.pop(ref, None):
                return {ref}
            case ("object", ref):
                self.objects.pop(ref, None)
        return set()

    def act(self) -> dict[str, Scrape | None]:
        changes = self.discovery.changes()
        self.scrapes = {key: scrape for key, scrape in (self.scrapes | changes).items() if scrape is not None}
        return changes

    def check(self) -> None:
        expected = plan(list(self.objects.values()), self.pods_in, MIB, self.cap, self.namespaces)
        bugs = {ref for ref, mine in expected.items() if mine.bug is not None}
        assert self.discovery.bugs().keys() == bugs
        assert self.discovery.keys() == expected.keys()
        for ref in expected.keys() - bugs:
            assert told(self.discovery[ref]) == told(expected[ref])
        assert self.scrapes == {scrape.key: scrape for mine in expected.values() for scrape in mine.scrapes}


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    if draw(st.integers(0, 9)) == 0:
        labels: Any = None  # which never happens, and which discovery can't cope with
    else:
        labels = {"app": draw(st.sampled_from("xy"))} | ({"team": "blue"} if draw(st.booleans()) else {})
    containers = draw(st.sampled_from([(), (container("app"),), (container("app", Port("pprof", 6060)), container("two", 6061))]))
    return pod(
        draw(st.sampled_from(["web-0", "web-1", "web-2"])),
        draw(st.sampled_from(NAMESPACES)),
        *containers,
        uid=draw(st.sampled_from(["1", "2"])),
        ip=draw(st.sampled_from(["10.0.0.1", "10.0.0.2", ""])),
        ready=draw(st.booleans()),
        labels=labels,
        annotations={f"x.y/{name}": value for name, value in draw(st.sampled_from(NOTES)).items()},
        phase=draw(st.sampled_from(["Running", "Running", "Pending", "Failed"])),
    )


@st.composite
def objects(draw: st.DrawFn) -> Wanted:
    fields: dict[str, Any] = {
        "profilingConfig": draw(st.sampled_from(CONFIGS)),
        "namespaceSelector": draw(st.sampled_from(SELECTORS)),
        "suspend": draw(st.integers(0, 7)) == 0,
        "interval": draw(st.sampled_from(["15s", "30s"])),
        "annotations": {"mode": draw(st.sampled_from(["Ignore", "Override", "Require"])), "prefix": "x.y"},
        "podTargetLabels": draw(st.sampled_from([[], ["team"]])),
        "labelLimit": draw(st.sampled_from([None, None, 7, 8])),
        "targetLimit": draw(st.sampled_from([None, None, 1, 2, 3])),
        "sampling": draw(st.sampled_from([None, None, {"percent": 50}, {"maxTargets": 1}, {"maxTargets": 3}])),
    }
    selector = draw(st.sampled_from([{}, {"matchLabels": {"app": "x"}}, None]))
    if selector is not None:
        fields["selector"] = selector
    if selector is None or draw(st.booleans()):
        fields["staticTargets"] = [{"address": "10.0.0.1:6060"}, {"address": "db:1"}]
    name, namespace = draw(st.sampled_from(["a", "b", "c"])), draw(st.sampled_from(NAMESPACES))
    return wanted(name, namespace, draw(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"])), **fields)


LABELED = st.tuples(
    st.just("labels"),
    st.sampled_from(NAMESPACES),
    st.sampled_from([None, {}, {"team": "x"}, {"team": "x", "a": "b"}, {"team": "y"}]),
)
GONE = st.tuples(
    st.sampled_from(["pod", "object"]),
    st.builds(ObjectRef, st.sampled_from(NAMESPACES), st.sampled_from(["web-0", "web-1", "web-2", "a", "b", "c"])),
)


CAPS = st.sampled_from([None, 2])


@settings(max_examples=400)
@given(st.lists(st.one_of(pods(), objects(), GONE, LABELED, st.none()), max_size=30), CAPS)
def test_as_if_computed_anew(events: list[Event], cap: int | None) -> None:
    """None stands for a moment when the changes are acted upon."""
    world = World(cap)
    for event in events:
        match event:
            case Pod():
                world.put_pod(event)
            case Wanted():
                world.put_object(event)
            case ("pod", ref):
                world.remove_pod(ref)
            case ("object", ref):
                world.remove_object(ref)
            case ("labels", name, labels):
                world.label(name, labels)
            case None:
                world.act()
                world.check()
    world.act()
    world.check()


@given(st.lists(st.one_of(pods(), objects(), GONE), max_size=30), CAPS)
def test_what_happens_between_two_steps_is_for_the_next_time(events: list[Event], cap: int | None) -> None:
    world, new = World(cap), set[ObjectRef]()
    while events:
        new |= world.happens(events.pop())
        pods = [(ref, world.pods.get(ref)) for ref in new]
        new, before = set(), dict(world.discovery)
        for _ in world.discovery.taking(dict(world.objects), pods):
            if events:
                new |= world.happens(events.pop())
            assert world.discovery == before, "plans are those of before"
        world.discovery.publish()
        world.act()
    world.discovery.want(world.objects)
    for ref in new:
        world.discovery.see(ref, world.pods.get(ref))
    world.act()
    world.check()


def test_a_change_of_one_pod_changes_its_scrapes_and_no_others() -> None:
    world = World()
    for number in range(50):
        world.put_pod(pod(f"web-{number}", ip=f"10.0.0.{number}"))
    world.put_object(wanted("a", profilingConfig=only("memory", "processCPU")))
    world.put_object(wanted("b", "other", profilingConfig=only("memory"), namespaceSelector={"any": True}))
    assert len(world.act()) == 100
    world.put_pod(pod("web-7", ip="10.0.0.7", labels={"team": "x"}))
    changed = [scrape for scrape in world.act().values() if scrape]
    assert [(scrape.target.pod, scrape.profile.type) for scrape in changed] == [("web-7", "memory"), ("web-7", "process_cpu")]
    world.put_pod(pod("web-7", ip="10.0.0.7", labels={"team": "x"}))
    assert world.act() == {}
    world.remove_pod(ObjectRef("shop", "web-7"))
    assert list(world.act().values()) == [None, None]


def test_a_label_changes_the_scrapes_of_its_namespace_and_no_others() -> None:
    world = World()
    for number in range(20):
        world.put_pod(pod(f"web-{number}", NAMESPACES[number % 2], ip=f"10.0.0.{number}"))
    world.label("shop", {"team": "x"})
    world.put_object(wanted("a", profilingConfig=only("memory"), namespaceSelector={"matchLabels": {"team": "x"}}))
    assert {scrape.target.namespace for scrape in world.act().values() if scrape} == {"shop"}
    world.label("other", {"team": "x"})
    came = world.act()
    assert len(came) == 10 and {scrape.target.namespace for scrape in came.values() if scrape} == {"other"}
    world.label("other", {"team": "x", "more": "y"})
    assert world.act() == {}
    world.label("shop", None)
    went = world.act()
    assert len(went) == 10 and set(went.values()) == {None}
    world.put_pod(pod("web-20", "shop", ip="10.0.0.20"))
    assert world.act() == {}
    world.remove_object(ObjectRef("shop", "a"))
    world.label("shop", {"team": "x"})
    assert set(world.act().values()) == {None}


@pytest.mark.parametrize("before", SELECTORS[1:])
def test_an_object_that_looks_elsewhere_sees_no_more_of_what_it_saw(before: dict[str, Any]) -> None:
    world = World()
    world.label("other", {"team": "x"} if "matchLabels" in before else {})
    world.put_object(wanted("a", profilingConfig=only("memory"), namespaceSelector=before))
    world.put_pod(pod("web-0", "other", ip="10.0.0.1"))
    assert [scrape.target.namespace for scrape in world.act().values() if scrape] == ["other"]
    world.put_object(wanted("a", profilingConfig=only("memory")))
    assert list(world.act().values()) == [None]
    world.put_pod(pod("web-0", "other", ip="10.0.0.2"))
    world.put_pod(pod("web-1", "other", ip="10.0.0.3"))
    assert world.act() == {}


def test_a_plan_is_the_same_value_until_it_changes() -> None:
    world = World()
    world.put_pod(pod())
    world.put_object(wanted("a", profilingConfig=only("memory")))
    world.put_object(wanted("b", profilingConfig=only("memory"), selector={"matchLabels": {"app": "none"}}))
    first, other = world.discovery[ObjectRef("shop", "a")], world.discovery[ObjectRef("shop", "b")]
    world.put_pod(pod("web-1", ip="10.0.0.2"))
    assert world.discovery[ObjectRef("shop", "a")] is not first
    assert world.discovery[ObjectRef("shop", "b")] is other


def test_a_change_of_one_chosen_pod_changes_its_scrapes_and_no_others() -> None:
    """With a limit, it does not give its place to another one meanwhile."""
    world = World()
    for number in range(50):
        world.put_pod(pod(f"web-{number}", ip=f"10.0.0.{number}"))
    world.put_object(wanted("a", profilingConfig=only("memory"), targetLimit=10))
    chosen = [scrape.target.pod for scrape in world.act().values() if scrape]
    assert len(chosen) == 10
    for name in {f"web-{number}" for number in range(50)}:
        world.put_pod(pod(name, ip=f"10.0.0.{name.removeprefix('web-')}", labels={"team": "x"}))
        assert [scrape.target.pod for scrape in world.act().values() if scrape] == [name] * (name in chosen)
    world.remove_pod(ObjectRef("shop", chosen[0]))
    assert sorted(scrape is None for scrape in world.act().values()) == [False, True]
    world.check()


def test_pods_that_a_new_object_has_looked_at_are_not_shown_to_it_again() -> None:
    world = World()
    world.pods = {one.ref: one for one in (pod(f"web-{number}", ip=f"10.0.0.{number}") for number in range(50))}
    one = wanted("a", profilingConfig=only("memory"))
    pods_step = len(list(world.discovery.taking({one.ref: one}, list(world.pods.items()))))
    world.discovery.publish()
    assert pods_step == 50 + 2 * 51, "each pod once, and once for each half of the plan"
