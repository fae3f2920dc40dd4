"""One object and the pods: its targets, and the pods that became none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.target import StaticTarget
from pyroscope_operator.discovery import series
from pyroscope_operator.discovery.annotated import Place, choose
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.port import PortNotFound
from pyroscope_operator.discovery.relabeled import ADDRESS, PARAM, PREFIX, SCHEME, NotWanted, relabeled
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import STATIC, Params, ProfileRequest, Target

_SHARED = 1024
"""Lists of profiles that are kept for the next target that is asked for the same."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A selected pod, or a static target, that is not scraped, and why."""

    pod: ObjectRef
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """What comes of a pod, or of the targets that an object names itself."""

    targets: tuple[Target, ...] = ()
    drops: tuple[Drop, ...] = ()


def of_pod(spec: PyroscopeScrapeSpec, source: ObjectRef, pod: Pod) -> Found:
    """What comes of a pod that the object selects."""
    try:
        choice = choose(spec, pod)
    except PortNotFound as error:
        return Found(drops=(Drop(pod.ref, "PortNotFound", str(error)),))
    except NotWanted as error:
        return Found(drops=(Drop(pod.ref, error.reason, error.message),))
    targets: list[Target] = []
    drops = [Drop(pod.ref, trouble.reason, trouble.message) for trouble in choice.troubles]
    for place in choice.places:
        try:
            targets.append(_target(place, source, pod))
        except NotWanted as error:
            drops.append(Drop(pod.ref, error.reason, error.message))
    return Found(tuple(_merged(targets)), tuple(dict.fromkeys(drops)))


def _target(place: Place, source: ObjectRef, pod: Pod) -> Target:
    spec, endpoint = place.spec, place.endpoint
    job, address = spec.job(source), series.host_port(pod.ip, endpoint.port.number)
    own = series.own_labels(pod, endpoint, spec.pod_target_labels, job)
    discovered = own | series.pod_labels(pod, endpoint) | _internal(spec, address)
    made = relabeled(spec, discovered)
    return Target(
        pod_uid=pod.uid,
        namespace=pod.namespace,
        pod=pod.name,
        container=endpoint.container.name,
        scheme=made.scheme,
        address=made.address,
        container_id=endpoint.container.id,
        healthy=pod.ready,
        params=made.params,
        profiles=_profiles(spec, made.path_prefix, place.paths),
        labels=series.finished(discovered, made.labels, made.address, pod.namespace, job),
        discovered=Labels(discovered),
    )


def _merged(targets: Iterable[Target]) -> Iterable[Target]:
    """Those that relabelings have led to one place are one."""
    found: dict[tuple[str, Params, Labels], Target] = {}
    for target in targets:
        place = (target.key, target.params, target.labels)
        known = found.get(place)
        found[place] = replace(known, profiles=_shared(known.profiles + target.profiles)) if known else target
    return found.values()


def of_static(spec: PyroscopeScrapeSpec, source: ObjectRef) -> Found:
    """The targets that the object names itself; dropped ones are called by their address."""
    targets: list[Target] = []
    drops: list[Drop] = []
    for static in spec.static_targets:
        try:
            targets.append(_static(spec, source, static))
        except NotWanted as error:
            drops.append(Drop(ObjectRef(source.namespace, static.address), error.reason, error.message))
    return Found(tuple(targets), tuple(drops))


def _static(spec: PyroscopeScrapeSpec, source: ObjectRef, static: StaticTarget) -> Target:
    job = spec.job(source)
    own = {"job": job} | {name: value for name, value in static.labels.items() if value} | {"namespace": source.namespace}
    discovered = own | _internal(spec, static.address)
    made = relabeled(spec, discovered)
    return Target(
        pod_uid=STATIC,
        namespace=source.namespace,
        pod="",
        container="",
        scheme=made.scheme,
        address=made.address,
        params=made.params,
        profiles=_profiles(spec, made.path_prefix),
        labels=series.finished(discovered, made.labels, made.address, source.namespace, job),
        discovered=Labels(discovered),
    )


def _profiles(
    spec: PyroscopeScrapeSpec, path_prefix: str | None, paths: Mapping[str, str] = MappingProxyType({})
) -> tuple[ProfileRequest, ...]:
    """`paths` by type take the place of the object's, prefix included."""
    made = spec.profiles(path_prefix)
    if paths:
        made = tuple(replace(request, path=paths.get(request.type, request.path)) for request in made)
    return _shared(made)


@lru_cache(_SHARED)
def _shared(profiles: tuple[ProfileRequest, ...]) -> tuple[ProfileRequest, ...]:
    return profiles


def _internal(spec: PyroscopeScrapeSpec, address: str) -> dict[str, str]:
    """Labels that relabelings see and the series don't."""
    params = {f"{PARAM}{name}": values[0] for name, values in spec.params.items() if values}
    return {ADDRESS: address, SCHEME: spec.scheme, PREFIX: spec.profiling_config.path_prefix or "", **params}
