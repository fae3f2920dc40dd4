"""What a pod's annotations make of an object's settings: which profile types are taken from the pod, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pyroscope_operator.api.profiling import BUILT_IN
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.scrape_rules import TARGETS_OWN_SECONDS
from pyroscope_operator.discovery import port
from pyroscope_operator.discovery.annotations import NAMES, PodAnnotations, read
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.port import Endpoint, PortNotFound
from pyroscope_operator.discovery.relabeled import NotWanted

_RUNNING = frozenset({"Running"})
_LIVING = _RUNNING | {"Pending"}
"""Finished pods keep their IP for a while, which may be another pod's by now."""

_BY_OBJECT, _BY_LIST, _BY_KEY = range(3)
"""How a type comes to be taken; the higher, the closer to the pod."""

_SHOWN = 3
"""Problems of a pod that are told; the others are counted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where profiles of a pod are."""

    endpoint: Endpoint
    spec: PyroscopeScrapeSpec
    """The object as it applies there: with the types that are taken there, and the scheme."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Paths that annotations give, by type. They are complete: pathPrefix does not stand before them."""


class Trouble(NamedTuple):
    """What is not taken and should have been."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What is taken of a pod."""

    places: tuple[Place, ...]
    troubles: tuple[Trouble, ...] = ()
    """Some may be there twice."""


class _Wrong(Exception):
    """A type can't be taken as its annotations say; the text names the key and the fix."""


def choose(spec: PyroscopeScrapeSpec, pod: Pod) -> Choice:
    """What an object takes of a pod that it selects.

    Raises NotWanted if it takes nothing, and PortNotFound if its own settings fit no port of the pod.
    """
    said = None
    if spec.annotations.mode != "Ignore":
        said = read(pod.annotations, spec.annotations.prefix)
        _must_ask(spec, said)
    if pod.phase not in (_RUNNING if spec.filter_running else _LIVING) or not pod.ip:
        raise NotWanted("NotRunning", f"phase {pod.phase}, {'an' if pod.ip else 'no'} IP")
    if said is None:
        return Choice((Place(port.choose(pod, spec.port, spec.container), spec),))
    return _as_annotated(spec, pod, said)


def _must_ask(spec: PyroscopeScrapeSpec, said: PodAnnotations | None) -> None:
    """Most pods that ask for nothing are known by that: they cost no more than this."""
    if said is None:
        if spec.annotations.mode == "Require":
            raise NotWanted("NotAnnotated", _how_to_ask(spec.annotations.prefix))
    elif said.short.scrape is False:
        raise NotWanted("OptedOut", f"switched off by the annotation {said.prefix}/scrape")


@lru_cache(64)
def _how_to_ask(prefix: str) -> str:
    """One text for all of thousands of pods."""
    return f'it is not asked for: annotate the pod with {prefix}/scrape: "true"'


def _as_annotated(spec: PyroscopeScrapeSpec, pod: Pod, said: PodAnnotations) -> Choice:
    problems = list(said.problems)
    troubles: list[Trouble] = []
    places: dict[tuple[str, str, int], tuple[Endpoint, list[str]]] = {}
    asked = _asked(spec, said)
    if (said.types or frozenset()) - set(_known(spec)):
        problems.append(f"{said.prefix}/types has what is no profile type: use {NAMES}")
    for kind in asked:
        if said.spoils(kind):
            continue
        try:
            endpoint = _endpoint(spec, pod, said, kind)
            _must_have_time(spec, said, kind)
        except _Wrong as error:
            problems.append(str(error))
        except PortNotFound as error:
            troubles.append(Trouble("PortNotFound", str(error)))
        else:
            place = (endpoint.container.name, said.of(kind).scheme or spec.scheme, endpoint.port.number)
            places.setdefault(place, (endpoint, []))[1].append(kind)
    if problems:
        troubles.append(Trouble("InvalidAnnotation", _in_short(problems)))
    elif not asked:
        raise _nothing_asked(spec, said)
    made = (_place(spec, said, endpoint, scheme, types) for (_, scheme, _), (endpoint, types) in places.items())
    return Choice(tuple(made), tuple(troubles))


def _nothing_asked(spec: PyroscopeScrapeSpec, said: PodAnnotations) -> NotWanted:
    if spec.annotations.mode == "Override":
        return NotWanted("OptedOut", "no profile type is left: its annotations switch off what spec.profilingConfig enables")
    if said.short.scrape:
        return NotWanted("NotAnnotated", f"no profile type is left: name some in the annotation {said.prefix}/types")
    return NotWanted("NotAnnotated", _how_to_ask(said.prefix))


def _known(spec: PyroscopeScrapeSpec) -> Iterator[str]:
    """All types that there are for the object, in an order that stays."""
    yield from BUILT_IN
    for custom in spec.profiling_config.custom:
        yield custom.name


def _asked(spec: PyroscopeScrapeSpec, said: PodAnnotations) -> list[str]:
    """The types to take; of two that are sent as the same series the one that is asked for closer to the pod."""
    found = {kind: rank for kind in _known(spec) if (rank := _rank(spec, said, kind)) is not None}
    for plain in ("memory", "mutex", "block"):
        made_by_target = f"godeltaprof_{plain}"
        if plain in found and made_by_target in found:
            del found[made_by_target if found[plain] > found[made_by_target] else plain]
    return list(found)


def _rank(spec: PyroscopeScrapeSpec, said: PodAnnotations, kind: str) -> int | None:
    """How a type comes to be taken; None: it is not."""
    own, require = said.of(kind).scrape, spec.annotations.mode == "Require"
    if own is not None:
        return _BY_KEY if own else None
    if require and not said.short.scrape:
        return None
    if said.types is not None and kind in said.types:
        return _BY_LIST
    listed = said.types is not None and (require or kind in BUILT_IN)
    return None if listed or not spec.profiling_config.setting(kind).enabled else _BY_OBJECT


def _endpoint(spec: PyroscopeScrapeSpec, pod: Pod, said: PodAnnotations, kind: str) -> Endpoint:
    """Raises _Wrong, or PortNotFound where the annotations are not to blame."""
    own = said.of(kind)
    names = [container.name for container in pod.containers]
    if own.container and own.container not in names:
        raise _Wrong(f"{said.key(kind, 'container')} names no container of the pod: correct it")
    try:
        return port.choose(pod, own.port or own.port_name or said.short.port or spec.port, own.container or spec.container)
    except PortNotFound:
        if not own.container and spec.container not in {None, *names}:
            raise
        if own.port_name:
            raise _Wrong(
                f"{said.key(kind, 'port_name')} names no port of the container: declare it, or set {said.key(kind, 'port')}"
            ) from None
        if own.container:
            raise _Wrong(
                f"{said.key(kind, 'container')} names a container without the port that is looked for: "
                f"set {said.key(kind, 'port')}"
            ) from None
        raise


def _must_have_time(spec: PyroscopeScrapeSpec, said: PodAnnotations, kind: str) -> None:
    """A type that is switched on for a pod keeps the rules for those of the object. Raises _Wrong."""
    setting = spec.profiling_config.setting(kind)
    if setting.enabled:
        return
    if getattr(setting, "delta", False):
        fits, least = spec.delta_seconds >= 1, "of at least 2s"
    else:
        measures = kind in {"process_cpu", "fgprof"}
        fits = not measures or min(spec.interval_seconds, spec.timeout_seconds) > TARGETS_OWN_SECONDS
        least = f"and a scrapeTimeout above {TARGETS_OWN_SECONDS}s, or delta: true"
    if not fits:
        key = said.key(kind, "scrape") if said.of(kind).scrape else f"{said.prefix}/types"
        raise _Wrong(f"{key} asks for a type that needs an interval {least} in the PyroscopeScrape: leave it out")


def _place(spec: PyroscopeScrapeSpec, said: PodAnnotations, endpoint: Endpoint, scheme: str, types: list[str]) -> Place:
    here = spec.model_copy(update={"scheme": scheme, "profiling_config": spec.profiling_config.limited(types)})
    return Place(endpoint, here, {kind: path for kind in types if (path := said.of(kind).path)})


def _in_short(problems: list[str]) -> str:
    more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more
