from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from builders import CREATED, manifest, pod

from pyroscope_operator.engine.store import ScrapeObject, Store
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.ref import ObjectRef

REF = ObjectRef("shop", "checkout")
WEB = ObjectRef("shop", "web-0")


@pytest.fixture
def store() -> Store:
    return Store(Metrics())


def found(meta: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **fields: Any) -> ScrapeObject:
    return ScrapeObject.from_manifest({**manifest(meta=meta, **fields), "status": status})


def changed(store: Store) -> bool:
    """Whether the last step changed anything."""
    was_set = store.changed.is_set()
    store.changed.clear()
    return was_set


class TestScrapeObject:
    def test_as_the_api_server_sends_it(self) -> None:
        made = found({"uid": "u", "generation": 7, "managedFields": [{"manager": "kubectl"}]}, {"summary": "1/1"}, port="web")
        assert (made.ref, made.uid, made.generation, made.created) == (REF, "u", 7, CREATED)
        assert made.spec is not None
        assert made.spec.port == "web"
        assert made.problem is None
        assert made.status == {"summary": "1/1"}

    def test_standalone(self) -> None:
        raw = {**manifest(), "metadata": {"namespace": "shop", "name": "checkout"}}
        made = ScrapeObject.from_manifest(raw)
        assert (made.uid, made.generation, made.created, made.status) == ("", 0, "", {})
        assert made.spec is not None

    @pytest.mark.parametrize("spec", [None, 7, {}, {"selector": {}, "port": "No"}, {"selector": {"x": 1}}])
    def test_a_wrong_spec_is_kept_with_its_problem(self, spec: object) -> None:
        made = ScrapeObject.from_manifest({**manifest(), "spec": spec})
        assert made.ref == REF
        assert made.spec is None
        assert made.problem is not None


class TestObjects:
    def test_a_new_one(self, store: Store) -> None:
        assert not changed(store)
        store.put_object(found())
        assert changed(store)
        assert store.objects.keys() == {REF}
        assert store.object_uids() == {REF: "uid-checkout"}

    @pytest.mark.parametrize(
        ("after", "is_news"),
        [
            pytest.param(found(), False, id="the same again"),
            pytest.param(found(status={"summary": "1/1"}), False, id="status"),
            pytest.param(found({"labels": {"a": "b"}, "resourceVersion": "9"}), False, id="metadata"),
            pytest.param(found({"generation": 2}, port=1), True, id="spec"),
            pytest.param(found({"uid": "other"}), True, id="made anew"),
        ],
    )
    def test_a_known_one(self, store: Store, after: ScrapeObject, is_news: bool) -> None:
        store.put_object(found())
        changed(store)
        store.put_object(after)
        assert changed(store) is is_news
        assert (store.objects[REF] is after) is is_news

    @pytest.mark.parametrize(("uid", "is_gone"), [(None, True), ("uid-checkout", True), ("older", False)])
    def test_removal_is_guarded_by_the_uid(self, store: Store, uid: str | None, is_gone: bool) -> None:
        store.put_object(found())
        changed(store)
        store.remove_object(REF, uid)
        assert changed(store) is is_gone
        assert (REF not in store.objects) is is_gone

    def test_removal_of_an_unknown_one(self, store: Store) -> None:
        store.remove_object(REF)
        assert not changed(store)


class TestPods:
    def test_a_new_one(self, store: Store) -> None:
        store.put_pod(pod())
        assert changed(store)
        assert store.pod_uids() == {WEB: "uid-shop-web-0"}

    @pytest.mark.parametrize(
        ("change", "is_news"),
        [
            ({}, False),
            ({"ready": False}, True),
            ({"labels": {"a": "b"}}, True),
            ({"uid": "other"}, True),
            ({"ip": "10.9.9.9"}, True),
        ],
    )
    def test_a_known_one(self, store: Store, change: dict[str, Any], is_news: bool) -> None:
        store.put_pod(pod())
        changed(store)
        after = replace(pod(), **change)
        store.put_pod(after)
        assert changed(store) is is_news
        assert list(store.pods_in(None)) == [after]

    @pytest.mark.parametrize(("uid", "is_gone"), [(None, True), ("uid-shop-web-0", True), ("older", False)])
    def test_removal_is_guarded_by_the_uid(self, store: Store, uid: str | None, is_gone: bool) -> None:
        store.put_pod(pod())
        changed(store)
        store.remove_pod(WEB, uid)
        assert changed(store) is is_gone
        assert (not store.pod_uids()) is is_gone

    @pytest.mark.parametrize("ref", [WEB, ObjectRef("shop", "web-1"), ObjectRef("other", "web-0")])
    def test_removal_of_an_unknown_one(self, store: Store, ref: ObjectRef) -> None:
        if ref != WEB:
            store.put_pod(pod())
        changed(store)
        store.remove_pod(ref)
        assert not changed(store)

    @pytest.mark.parametrize(
        ("namespaces", "expected"),
        [
            (None, {"a/1", "a/2", "b/1"}),
            (frozenset({"a"}), {"a/1", "a/2"}),
            (frozenset({"a", "b", "unknown"}), {"a/1", "a/2", "b/1"}),
            (frozenset({"unknown"}), set()),
            (frozenset(), set()),
        ],
    )
    def test_pods_in(self, store: Store, namespaces: frozenset[str] | None, expected: set[str]) -> None:
        for namespace, name in (("a", "1"), ("b", "1"), ("a", "2"), ("gone", "1")):
            store.put_pod(pod(name, namespace))
        store.remove_pod(ObjectRef("gone", "1"))
        assert sorted(f"{p.namespace}/{p.name}" for p in store.pods_in(namespaces)) == sorted(expected)


def test_metrics_count_objects_and_pods() -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.put_object(found())
    store.put_pod(pod())
    store.put_pod(pod("web-1"))
    store.put_pod(pod("web-0", "other"))
    store.remove_pod(WEB)
    read = metrics.registry.get_sample_value
    assert (read("pyroscope_operator_objects", {"kind": "PyroscopeScrape"}), read("pyroscope_operator_pods")) == (1, 2)
    store.remove_object(REF)
    assert read("pyroscope_operator_objects", {"kind": "PyroscopeScrape"}) == 0
