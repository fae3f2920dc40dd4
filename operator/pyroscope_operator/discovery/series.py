"""The labels of a target: as discovered, and as its series carry them.

Pods and static targets take the same way: a map of discovered labels (`__meta_…`,
`__address__`, …) goes in, the labels of the series come out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.port import Endpoint
from pyroscope_operator.model.labels import PROTECTED, Labels, sanitize

_META = "__meta_kubernetes_"
_SERVICE_NAME = f"{_META}pod_annotation_pyroscope_io_service_name"
_PASSED_ON = {
    name: f"{_META}pod_annotation_pyroscope_io_{name}" for name in ("service_repository", "service_git_ref", "service_root_path")
}


def host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def pod_labels(pod: Pod, endpoint: Endpoint) -> dict[str, str]:
    """What Prometheus's pod discovery says of this pod and container port."""
    container, port = endpoint.container, endpoint.port
    facts = {
        "namespace": pod.namespace,
        "pod_name": pod.name,
        "pod_ip": pod.ip,
        "pod_uid": pod.uid,
        "pod_phase": pod.phase,
        "pod_ready": str(pod.ready).lower(),
        "pod_node_name": pod.node,
        "pod_host_ip": pod.host_ip,
        "pod_controller_kind": pod.controller_kind,
        "pod_controller_name": pod.controller_name,
        "pod_container_name": container.name,
        "pod_container_id": container.id,
        "pod_container_image": container.image,
        "pod_container_init": str(container.init).lower(),
        "pod_container_port_name": port.name,
        "pod_container_port_number": str(port.number),
        "pod_container_port_protocol": port.protocol,
    }
    labels = {_META + name: value for name, value in facts.items()}
    for kind, values in (("label", pod.labels), ("annotation", pod.annotations)):
        for name, value in values.items():
            labels[f"{_META}pod_{kind}_{sanitize_meta(name)}"] = value
            labels[f"{_META}pod_{kind}present_{sanitize_meta(name)}"] = "true"
    return labels


def sanitize_meta(name: str) -> str:
    """As Prometheus does it behind a prefix: a leading digit may stay."""
    return sanitize(f"x{name}")[1:]


def own_labels(pod: Pod, endpoint: Endpoint, copied: Iterable[str], job: str) -> dict[str, str]:
    """What a pod's series carry where no relabeling changes it: `copied` are podTargetLabels."""
    picked = {sanitize(name): pod.labels[name] for name in copied if name in pod.labels}
    public = {name: value for name, value in picked.items() if name not in PROTECTED and not name.startswith("__")}
    return {**public, "pod": pod.name, "container": endpoint.container.name, "namespace": pod.namespace, "job": job}


def finished(discovered: Mapping[str, str], public: Mapping[str, str], address: str, namespace: str, job: str) -> Labels:
    """Labels of the series of a target at `address`: `public` ones, with what they leave out filled in.

    `namespace` can't be forged.
    """
    passed_on = {name: discovered.get(source, "") for name, source in _PASSED_ON.items()}
    defaults = {"job": job, "instance": address, "service_name": service_name(discovered)}
    # An empty label is an absent one, so it must not hide a default.
    chosen = {name: value for name, value in public.items() if value}
    return Labels(passed_on | defaults | chosen | {"namespace": namespace})


def service_name(discovered: Mapping[str, str]) -> str:
    """The name of the service where no label says it, in the order that the contract names."""
    if annotated := discovered.get(_SERVICE_NAME):
        return annotated
    namespace, container = discovered.get(f"{_META}namespace"), discovered.get(f"{_META}pod_container_name")
    if namespace and container:
        return f"{namespace}/{container}"
    return discovered.get("__meta_docker_container_name") or "unspecified"
