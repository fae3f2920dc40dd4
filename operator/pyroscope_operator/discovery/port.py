"""Where in a pod the profiles are: the choice of container and port."""

from __future__ import annotations

from dataclasses import dataclass

from pyroscope_operator.discovery.pod import Container, Pod, Port

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_SUFFIXES = ("-pprof", "-profiles")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The container and port that a target stands for."""

    container: Container
    port: Port


class PortNotFound(LookupError):
    """No port of this pod fits; the text says why and what would help."""


def choose(pod: Pod, port: int | str | None, container: str | None) -> Endpoint:
    """The endpoint that `port` and `container` of an object mean in `pod`.

    Raises PortNotFound.
    """
    candidates = [c for c in pod.containers if container in {None, c.name}]
    if not candidates:
        raise PortNotFound(f"no container named {container!r}: correct spec.container" if container else "no containers")
    declared = [Endpoint(c, p) for c in candidates for p in c.ports if p.protocol == "TCP"]
    if isinstance(port, int):
        return next((e for e in declared if e.port.number == port), None) or _undeclared(pod, candidates, port)
    if port is not None:
        found = next((e for e in declared if e.port.name == port), None)
        if found is None:
            raise PortNotFound(f"no container port named {port!r}: declare it, or set spec.port to its number")
        return found
    return _conventional(declared)


def _undeclared(pod: Pod, candidates: list[Container], number: int) -> Endpoint:
    """A number need not be declared; it belongs to the main container then."""
    main = pod.annotations.get(_DEFAULT_CONTAINER)
    return Endpoint(next((c for c in candidates if c.name == main), candidates[0]), Port("", number))


def _conventional(declared: list[Endpoint]) -> Endpoint:
    by_name = next((e for e in declared if e.port.name == "pprof"), None)
    by_suffix = next((e for e in declared if e.port.name.endswith(_SUFFIXES)), None)
    found = by_name or by_suffix or (declared[0] if len(declared) == 1 else None)
    if found is None:
        raise PortNotFound("no container port named pprof, *-pprof or *-profiles, and not exactly one TCP port: set spec.port")
    return found
