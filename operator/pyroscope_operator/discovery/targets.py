"""One object and the pods: its targets, and the pods that became none."""

from __future__ import annotations

from dataclasses import dataclass

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import port, series
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Target

_RUNNING = frozenset({"Running"})
_LIVING = _RUNNING | {"Pending"}
"""Finished pods keep their IP for a while, which may be another pod's by now."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A selected pod that is not scraped, and why."""

    pod: ObjectRef
    reason: str
    message: str


def of_pod(spec: PyroscopeScrapeSpec, source: ObjectRef, pod: Pod) -> Target | Drop:
    """What comes of a pod that the object selects."""
    try:
        return _target(spec, source, pod)
    except port.PortNotFound as error:
        return Drop(pod.ref, "PortNotFound", str(error))


def _target(spec: PyroscopeScrapeSpec, source: ObjectRef, pod: Pod) -> Target | Drop:
    if pod.phase not in (_RUNNING if spec.filter_running else _LIVING) or not pod.ip:
        return Drop(pod.ref, "NotRunning", f"phase {pod.phase}, {'an' if pod.ip else 'no'} IP")
    endpoint = port.choose(pod, spec.port, spec.container)
    address = series.host_port(pod.ip, endpoint.port.number)
    discovered = series.pod_labels(pod, endpoint) | _internal(spec, address)
    return Target(
        pod_uid=pod.uid,
        namespace=pod.namespace,
        pod=pod.name,
        container=endpoint.container.name,
        scheme=spec.scheme,
        address=address,
        container_id=endpoint.container.id,
        healthy=pod.ready,
        labels=series.of_pod(discovered, pod, endpoint, spec.pod_target_labels, spec.job(source)),
        discovered=Labels(discovered),
    )


def of_static(spec: PyroscopeScrapeSpec, source: ObjectRef) -> list[Target]:
    """The targets that the object names itself."""
    targets = []
    for static in spec.static_targets:
        discovered = {**static.labels, **_internal(spec, static.address)}
        targets.append(
            Target(
                pod_uid=STATIC,
                namespace=source.namespace,
                pod="",
                container="",
                scheme=spec.scheme,
                address=static.address,
                labels=series.of_static(discovered, static.labels, source.namespace, spec.job(source)),
                discovered=Labels(discovered),
            )
        )
    return targets


def _internal(spec: PyroscopeScrapeSpec, address: str) -> dict[str, str]:
    """Labels that relabeling will see and the series won't."""
    params = {f"__param_{name}": values[0] for name, values in spec.params.items() if values}
    prefix = spec.profiling_config.path_prefix or ""
    return {"__address__": address, "__scheme__": spec.scheme, "__profile_path_prefix__": prefix, **params}
