from __future__ import annotations

from typing import Any

import pytest
from builders import CONTAINER_ID, container, pod, spec

from pyroscope_operator.discovery import targets
from pyroscope_operator.discovery.pod import Pod, Port
from pyroscope_operator.discovery.series import host_port, sanitize_meta
from pyroscope_operator.discovery.targets import of_static
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Target

SOURCE = ObjectRef("shop", "checkout")
ELSEWHERE = ObjectRef("platform", "all")
ANNOTATED = {"pyroscope.io/service_name": "annotated"}


def of_pod(found: Pod, source: ObjectRef = SOURCE, **fields: Any) -> Target:
    (target,) = targets.of_pod(spec(**fields), source, found).targets
    return target


def static(labels: dict[str, str], source: ObjectRef = SOURCE, **fields: Any) -> Target:
    (target,) = of_static(spec(staticTargets=[{"address": "db:6060", "labels": labels}], **fields), source).targets
    return target


@pytest.mark.parametrize(
    ("host", "expected"),
    [("10.0.0.1", "10.0.0.1:6060"), ("2001:db8::1", "[2001:db8::1]:6060"), ("::1", "[::1]:6060"), ("db", "db:6060")],
)
def test_host_port(host: str, expected: str) -> None:
    assert host_port(host, 6060) == expected


@pytest.mark.parametrize(("name", "safe"), [("app.kubernetes.io/name", "app_kubernetes_io_name"), ("9x", "9x"), ("a-b", "a_b")])
def test_sanitize_meta(name: str, safe: str) -> None:
    assert sanitize_meta(name) == safe


class TestServiceName:
    """From the strongest source to the weakest."""

    @pytest.mark.parametrize(
        ("annotations", "expected"),
        [
            (ANNOTATED, "annotated"),
            ({}, "shop/app"),
            ({"pyroscope.io/service_name": ""}, "shop/app"),
        ],
    )
    def test_pod(self, annotations: dict[str, str], expected: str) -> None:
        assert of_pod(pod(annotations=annotations)).labels["service_name"] == expected

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            pytest.param(
                {
                    "service_name": "given",
                    "__meta_kubernetes_pod_annotation_pyroscope_io_service_name": "annotated",
                    "__meta_kubernetes_namespace": "ns",
                    "__meta_kubernetes_pod_container_name": "box",
                    "__meta_docker_container_name": "docker",
                },
                "given",
                id="label",
            ),
            pytest.param(
                {
                    "service_name": "",
                    "__meta_kubernetes_pod_annotation_pyroscope_io_service_name": "annotated",
                    "__meta_kubernetes_namespace": "ns",
                    "__meta_kubernetes_pod_container_name": "box",
                    "__meta_docker_container_name": "docker",
                },
                "annotated",
                id="annotation; an empty label is none",
            ),
            pytest.param(
                {
                    "__meta_kubernetes_namespace": "ns",
                    "__meta_kubernetes_pod_container_name": "box",
                    "__meta_docker_container_name": "docker",
                },
                "ns/box",
                id="namespace and container",
            ),
            pytest.param(
                {"__meta_kubernetes_namespace": "ns", "__meta_docker_container_name": "docker"}, "docker", id="namespace alone"
            ),
            pytest.param({"__meta_docker_container_name": "docker"}, "docker", id="docker"),
            pytest.param({"__meta_kubernetes_pod_container_name": "box"}, "unspecified", id="container alone"),
            pytest.param({}, "unspecified", id="nothing"),
        ],
    )
    def test_static(self, labels: dict[str, str], expected: str) -> None:
        assert static(labels).labels["service_name"] == expected


def test_labels_of_a_pod() -> None:
    assert dict(of_pod(pod()).labels) == {
        "container": "app",
        "instance": "10.0.0.1:6060",
        "job": "shop/checkout",
        "namespace": "shop",
        "pod": "web-0",
        "service_name": "shop/app",
    }


def test_labels_of_a_static_target() -> None:
    assert dict(static({"team": "a"}).labels) == {
        "instance": "db:6060",
        "job": "shop/checkout",
        "namespace": "shop",
        "service_name": "unspecified",
        "team": "a",
    }


@pytest.mark.parametrize("name", ["service_repository", "service_git_ref", "service_root_path"])
def test_where_the_source_code_is(name: str) -> None:
    assert of_pod(pod(annotations={f"pyroscope.io/{name}": "x"})).labels[name] == "x"
    assert static({f"__meta_kubernetes_pod_annotation_pyroscope_io_{name}": "x"}).labels[name] == "x"
    assert static({name: "y", f"__meta_kubernetes_pod_annotation_pyroscope_io_{name}": "x"}).labels[name] == "y"
    assert name not in of_pod(pod()).labels


@pytest.mark.parametrize(("job_name", "expected"), [(None, "platform/all"), ("api", "api")])
def test_job(job_name: str | None, expected: str) -> None:
    assert of_pod(pod(), ELSEWHERE, jobName=job_name).labels["job"] == expected
    assert static({}, ELSEWHERE, jobName=job_name).labels["job"] == expected


def test_namespace_is_that_of_the_pod_whoever_selects_it() -> None:
    assert of_pod(pod(), ELSEWHERE, namespaceSelector={"any": True}).labels["namespace"] == "shop"


@pytest.mark.parametrize(
    ("copied", "pod_labels", "expected"),
    [
        pytest.param([], {"team": "a"}, {}, id="none by default"),
        pytest.param(["team"], {"team": "a", "other": "b"}, {"team": "a"}, id="only the named ones"),
        pytest.param(["team"], {}, {}, id="absent"),
        pytest.param(["team"], {"team": ""}, {}, id="empty"),
        pytest.param(
            ["app.kubernetes.io/part-of"], {"app.kubernetes.io/part-of": "x"}, {"app_kubernetes_io_part_of": "x"}, id="safe"
        ),
        pytest.param(["9x"], {"9x": "y"}, {"_9x": "y"}, id="digit first"),
    ],
)
def test_pod_target_labels(copied: list[str], pod_labels: dict[str, str], expected: dict[str, str]) -> None:
    labels = dict(of_pod(pod(labels=pod_labels), podTargetLabels=copied).labels)
    assert labels == {**of_pod(pod()).labels, **expected}


@pytest.mark.parametrize("name", ["namespace", "service_name", "job", "instance", "service-name", "pod", "container"])
def test_pod_target_labels_override_nothing_that_is_protected(name: str) -> None:
    assert of_pod(pod(labels={name: "forged"}), podTargetLabels=[name]).labels == of_pod(pod()).labels


@pytest.mark.parametrize("name", ["service_name", "job", "instance", "team"])
def test_static_targets_choose_their_labels(name: str) -> None:
    assert static({name: "mine"}).labels[name] == "mine"
    assert static({name: ""}).labels.get(name) == static({}).labels.get(name)


@pytest.mark.parametrize("given", ["forged", ""])
def test_static_targets_can_not_forge_their_namespace(given: str) -> None:
    assert static({"namespace": given}).labels["namespace"] == "shop"


@pytest.mark.parametrize("name", ["__x", "__meta_docker_container_name", "__delta__", "__scheme__", "__param_a", "__tmp_x"])
def test_labels_with_two_underscores_are_not_sent(name: str) -> None:
    target = static({name: "x", "_one": "y"})
    assert not [label for label in target.labels if label.startswith("__")]
    assert target.labels["_one"] == "y"


def test_meta_labels_are_those_of_prometheus() -> None:
    found = pod(
        "web-0",
        "shop",
        container("app", Port("pprof", 6060), init=True),
        uid="8f14",
        node="node-1",
        host_ip="192.168.0.1",
        controller_kind="StatefulSet",
        controller_name="web",
        labels={"app.kubernetes.io/name": "web", "9x": "", "plain": "p"},
        annotations={"example.com/a": "1", "empty": ""},
    )
    target = of_pod(found, scheme="https", params={"debug": ["0", "1"]}, profilingConfig={"pathPrefix": "/internal"})
    meta = "__meta_kubernetes_"
    assert dict(target.discovered) == {
        "__address__": "10.0.0.1:6060",
        "__scheme__": "https",
        "__param_debug": "0",
        "__profile_path_prefix__": "/internal",
        "job": "shop/checkout",
        "namespace": "shop",
        "pod": "web-0",
        "container": "app",
        f"{meta}namespace": "shop",
        f"{meta}pod_name": "web-0",
        f"{meta}pod_ip": "10.0.0.1",
        f"{meta}pod_uid": "8f14",
        f"{meta}pod_phase": "Running",
        f"{meta}pod_ready": "true",
        f"{meta}pod_node_name": "node-1",
        f"{meta}pod_host_ip": "192.168.0.1",
        f"{meta}pod_controller_kind": "StatefulSet",
        f"{meta}pod_controller_name": "web",
        f"{meta}pod_container_name": "app",
        f"{meta}pod_container_id": CONTAINER_ID,
        f"{meta}pod_container_image": "registry/app:1",
        f"{meta}pod_container_init": "true",
        f"{meta}pod_container_port_name": "pprof",
        f"{meta}pod_container_port_number": "6060",
        f"{meta}pod_container_port_protocol": "TCP",
        f"{meta}pod_label_app_kubernetes_io_name": "web",
        f"{meta}pod_labelpresent_app_kubernetes_io_name": "true",
        f"{meta}pod_labelpresent_9x": "true",
        f"{meta}pod_label_plain": "p",
        f"{meta}pod_labelpresent_plain": "true",
        f"{meta}pod_annotation_example_com_a": "1",
        f"{meta}pod_annotationpresent_example_com_a": "true",
        f"{meta}pod_annotationpresent_empty": "true",
    }


def test_no_annotation_passes_for_a_fact_about_the_pod() -> None:
    found = pod(labels={"x": "label"}, annotations={"__address__": "evil:1", "__scheme__": "x"})
    assert of_pod(found).discovered["__address__"] == "10.0.0.1:6060"
    assert of_pod(found).address == "10.0.0.1:6060"


def test_a_pod_as_target() -> None:
    found = pod("web-0", "shop", container("app", 8080), ip="2001:db8::1", ready=False)
    target = of_pod(found, ELSEWHERE, port=6060, scheme="https")
    assert (target.pod_uid, target.namespace, target.pod, target.container) == ("uid-shop-web-0", "shop", "web-0", "app")
    assert (target.scheme, target.address, target.container_id) == ("https", "[2001:db8::1]:6060", CONTAINER_ID)
    assert target.labels["instance"] == "[2001:db8::1]:6060"
    assert target.healthy is False


def test_a_static_target() -> None:
    target = static({"__scheme__": "gopher", "__tmp": "x"}, ELSEWHERE, scheme="https")
    assert (target.pod_uid, target.namespace, target.pod, target.container) == (STATIC, "platform", "", "")
    assert (target.scheme, target.address, target.container_id) == ("https", "db:6060", "")
    assert target.healthy is True
    assert dict(target.discovered) == {
        "__address__": "db:6060",
        "__scheme__": "https",
        "__tmp": "x",
        "job": "platform/all",
        "namespace": "platform",
    }


@pytest.mark.parametrize("ip", ["10.0.0.1", ""])
@pytest.mark.parametrize("phase", ["Running", "Pending", "Succeeded", "Failed", "Unknown"])
@pytest.mark.parametrize("filter_running", [True, False])
def test_which_pods_are_alive(filter_running: bool, phase: str, ip: str) -> None:
    found = targets.of_pod(spec(filterRunning=filter_running), SOURCE, pod(phase=phase, ip=ip))
    alive = bool(ip) and (phase == "Running" or (phase == "Pending" and not filter_running))
    assert (len(found.targets), len(found.drops)) == ((1, 0) if alive else (0, 1))
    for drop in found.drops:
        assert (drop.pod, drop.reason) == (ObjectRef("shop", "web-0"), "NotRunning")
        assert phase in drop.message


def test_a_pod_without_the_port_is_dropped() -> None:
    (drop,) = targets.of_pod(spec(), SOURCE, pod("b", "shop", container("app", 1, 2))).drops
    assert (drop.pod.name, drop.reason) == ("b", "PortNotFound")
    assert "set spec.port" in drop.message
