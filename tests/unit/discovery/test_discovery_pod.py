from __future__ import annotations

import copy
from typing import Any

import pytest

from pyroscope_operator.discovery.pod import Container, Pod, Port

WHOLE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "checkout-7d4b9c-x2x9z",
        "namespace": "shop",
        "uid": "8f14e45f-ceea-467f-a8b5-1c2d3e4f5a6b",
        "labels": {"app": "checkout"},
        "annotations": {
            "pyroscope.io/service_name": "checkout",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "1"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7d4b9c", "uid": "2", "controller": True},
        ],
        "managedFields": [{"manager": "kubelet"}],
    },
    "spec": {
        "nodeName": "node-1",
        "initContainers": [
            {"name": "migrate", "image": "migrate:1", "ports": [{"containerPort": 1}]},
            {"name": "mesh", "image": "mesh:2", "restartPolicy": "Always", "ports": [{"name": "pprof", "containerPort": 15000}]},
        ],
        "containers": [
            {
                "name": "app",
                "image": "checkout:3",
                "ports": [
                    {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                    {"containerPort": 6060},
                    {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                ],
            },
            {"name": "log", "image": "log:4"},
        ],
        "ephemeralContainers": [{"name": "debug", "image": "busybox"}],
    },
    "status": {
        "phase": "Running",
        "podIP": "10.0.0.7",
        "podIPs": [{"ip": "10.0.0.7"}, {"ip": "2001:db8::7"}],
        "hostIP": "192.168.0.1",
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": "True"},
            {"type": "ContainersReady", "status": "True"},
        ],
        "initContainerStatuses": [
            {"name": "migrate", "containerID": "containerd://a"},
            {"name": "mesh", "containerID": "containerd://b"},
        ],
        "containerStatuses": [
            {"name": "log", "containerID": "containerd://c"},
            {"name": "app", "containerID": "containerd://d", "restartCount": 1},
        ],
    },
}


def test_a_whole_pod() -> None:
    assert Pod.from_manifest(WHOLE) == Pod(
        namespace="shop",
        name="checkout-7d4b9c-x2x9z",
        uid="8f14e45f-ceea-467f-a8b5-1c2d3e4f5a6b",
        phase="Running",
        ip="10.0.0.7",
        host_ip="192.168.0.1",
        node="node-1",
        ready=True,
        controller_kind="ReplicaSet",
        controller_name="checkout-7d4b9c",
        labels={"app": "checkout"},
        annotations={"pyroscope.io/service_name": "checkout"},
        containers=(
            Container("app", "checkout:3", (Port("http", 8080), Port("", 6060), Port("dns", 53, "UDP")), id="containerd://d"),
            Container("log", "log:4", id="containerd://c"),
            Container("mesh", "mesh:2", (Port("pprof", 15000),), init=True, id="containerd://b"),
        ),
    )


BARE = {"metadata": {"namespace": "shop", "name": "web-0", "uid": "u"}}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(BARE, id="nothing but a name"),
        pytest.param({**BARE, "spec": None, "status": None}, id="null"),
        pytest.param(
            {
                "metadata": {**BARE["metadata"], "labels": None, "annotations": None, "ownerReferences": None},
                "spec": {"containers": None, "initContainers": None, "nodeName": None},
                "status": {
                    "conditions": None,
                    "containerStatuses": None,
                    "initContainerStatuses": None,
                    "podIP": None,
                    "phase": None,
                },
            },
            id="null in every field",
        ),
    ],
)
def test_a_pod_that_was_just_created(raw: dict[str, Any]) -> None:
    assert Pod.from_manifest(raw) == Pod("shop", "web-0", "u", phase="Pending")


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [
        ([], False),
        ([{"type": "Ready", "status": "False"}], False),
        ([{"type": "Ready", "status": "Unknown"}], False),
        ([{"type": "ContainersReady", "status": "True"}], False),
        ([{"type": "ContainersReady", "status": "False"}, {"type": "Ready", "status": "True"}], True),
    ],
)
def test_ready(conditions: list[dict[str, str]], ready: bool) -> None:
    assert Pod.from_manifest({**BARE, "status": {"conditions": conditions}}).ready is ready


@pytest.mark.parametrize(
    ("owners", "expected"),
    [
        ([], ("", "")),
        ([{"kind": "ReplicaSet", "name": "a"}], ("", "")),
        ([{"kind": "ReplicaSet", "name": "a", "controller": False}], ("", "")),
        ([{"kind": "Job", "name": "b", "controller": True}], ("Job", "b")),
    ],
)
def test_controller(owners: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    found = Pod.from_manifest({"metadata": {**BARE["metadata"], "ownerReferences": owners}})
    assert (found.controller_kind, found.controller_name) == expected


@pytest.mark.parametrize("policy", [{}, {"restartPolicy": None}, {"restartPolicy": "OnFailure"}])
def test_init_containers_that_end_are_left_out(policy: dict[str, Any]) -> None:
    assert Pod.from_manifest({**BARE, "spec": {"initContainers": [{"name": "migrate", **policy}]}}).containers == ()


@pytest.mark.parametrize(
    "statuses", [[], [{"name": "app"}], [{"name": "app", "containerID": None}], [{"name": "x", "containerID": "y"}]]
)
def test_a_container_that_was_not_started_has_no_id(statuses: list[dict[str, Any]]) -> None:
    raw = {**BARE, "spec": {"containers": [{"name": "app"}]}, "status": {"containerStatuses": statuses}}
    assert Pod.from_manifest(raw).containers == (Container("app"),)


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        pytest.param(("metadata", "resourceVersion"), "9", True, id="resource version"),
        pytest.param(("status", "qosClass"), "Burstable", True, id="a status that is not read"),
        pytest.param(("status", "conditions"), [{"type": "Ready", "status": "True", "lastProbeTime": "now"}], True, id="probed"),
        pytest.param(("status", "conditions"), [{"type": "Ready", "status": "False"}], False, id="not ready"),
        pytest.param(("status", "podIP"), "10.0.0.8", False, id="another IP"),
        pytest.param(("status", "containerStatuses"), [{"name": "app", "containerID": "new"}], False, id="restarted"),
        pytest.param(("metadata", "labels"), {"app": "other"}, False, id="other labels"),
    ],
)
def test_equality_is_about_what_is_read(path: tuple[str, str], value: object, same: bool) -> None:
    changed = copy.deepcopy(WHOLE)
    changed[path[0]][path[1]] = value
    assert (Pod.from_manifest(changed) == Pod.from_manifest(WHOLE)) is same
