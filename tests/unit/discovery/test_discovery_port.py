from __future__ import annotations

from dataclasses import dataclass

import pytest
from builders import container, pod

from pyroscope_operator.discovery.pod import Container, Pod, Port
from pyroscope_operator.discovery.port import PortNotFound, choose

DEFAULT = "kubectl.kubernetes.io/default-container"
UDP = Port("dns", 53, "UDP")


@dataclass(frozen=True)
class Case:
    name: str
    containers: tuple[Container, ...]
    expected: tuple[str, int] | str
    """Container and port number, or a part of the error."""
    port: int | str | None = None
    container: str | None = None
    default: str | None = None
    """Value of the annotation that names the default container."""

    def __str__(self) -> str:
        return self.name


PLAIN, PROXY = container("app", 8080), container("proxy", 15090)
NAMED = container("app", Port("http", 8080), Port("pprof", 6060))
SIDECAR = container("log", Port("pprof", 7070), init=True)

CASES = [
    # by name
    Case("name", (PLAIN, NAMED), ("app", 6060), port="pprof"),
    Case("name in the second container", (PLAIN, container("two", Port("web", 1))), ("two", 1), port="web"),
    Case(
        "same name twice: the first container", (container("a", Port("web", 1)), container("b", Port("web", 2))), ("a", 1), "web"
    ),
    Case("name in the wanted container", (container("a", Port("web", 1)), container("b", Port("web", 2))), ("b", 2), "web", "b"),
    Case("name of another container only", (NAMED, PROXY), "named 'pprof'", "pprof", "proxy"),
    Case("unknown name", (NAMED,), "spec.port to its number", port="nope"),
    Case("a conventional name is no stand-in", (NAMED,), "named 'web'", port="web"),
    Case("name of a UDP port", (container("app", UDP),), "named 'dns'", port="dns"),
    Case("same name, UDP and TCP", (container("app", UDP, Port("dns", 5353)),), ("app", 5353), port="dns"),
    # by number
    Case("declared number", (PLAIN, PROXY), ("proxy", 15090), port=15090),
    Case("declared number wins over the default container", (PLAIN, PROXY), ("proxy", 15090), 15090, default="app"),
    Case("undeclared number: the first", (PLAIN, PROXY), ("app", 6060), port=6060),
    Case("undeclared number: the default container", (PLAIN, PROXY), ("proxy", 6060), 6060, default="proxy"),
    Case("undeclared number: wrong annotation", (PLAIN, PROXY), ("app", 6060), 6060, default="gone"),
    Case("undeclared number: container", (PLAIN, PROXY), ("proxy", 6060), 6060, "proxy"),
    Case("undeclared number: container beats the annotation", (PLAIN, PROXY), ("proxy", 6060), 6060, "proxy", "app"),
    Case("number declared in another container only", (PLAIN, PROXY), ("app", 15090), 15090, "app"),
    Case("number declared as UDP only", (PLAIN, container("dns", UDP)), ("app", 53), port=53),
    Case("no container declares a port", (container("app"),), ("app", 6060), port=6060),
    Case("a sidecar comes after the app containers", (PLAIN, SIDECAR), ("app", 6060), port=6060),
    Case("number of a sidecar", (PLAIN, SIDECAR), ("log", 7070), port=7070),
    # by convention
    Case("pprof", (NAMED,), ("app", 6060)),
    Case("-pprof", (container("app", "http", Port("http-pprof", 6061)),), ("app", 6061)),
    Case("-profiles", (container("app", "http", Port("go-profiles", 6062)),), ("app", 6062)),
    Case("pprof beats an earlier -pprof", (container("app", Port("a-pprof", 1), Port("pprof", 2)),), ("app", 2)),
    Case(
        "pprof of a later container beats -pprof",
        (container("a", Port("a-pprof", 1)), container("b", Port("pprof", 2))),
        ("b", 2),
    ),
    Case("the first suffix", (container("app", Port("a-profiles", 1), Port("a-pprof", 2)),), ("app", 1)),
    Case("pprof within another name does not count", (container("app", "pprof-x", "mypprof"),), "set spec.port"),
    Case("conventional name, UDP", (container("app", Port("pprof", 6060, "UDP"), 8080),), ("app", 8080)),
    Case("pprof of a sidecar", (PLAIN, SIDECAR), ("log", 7070)),
    Case("the only TCP port", (container("app", 8080), container("other")), ("app", 8080)),
    Case("the only TCP port beside UDP and SCTP", (container("app", UDP, Port("s", 9, "SCTP"), 8080),), ("app", 8080)),
    Case("two TCP ports", (container("app", 8080, 8081),), "set spec.port"),
    Case("two TCP ports of two containers", (PLAIN, PROXY), "set spec.port"),
    Case("the only TCP port of the wanted container", (PLAIN, PROXY), ("proxy", 15090), None, "proxy"),
    Case("pprof of the other container is not wanted", (NAMED, PROXY), ("proxy", 15090), None, "proxy"),
    Case("no ports", (container("app"),), "set spec.port"),
    Case("UDP ports only", (container("app", UDP),), "set spec.port"),
    # by container
    Case("unknown container", (PLAIN,), "no container named 'gone': correct spec.container", 6060, "gone"),
    Case("no containers at all", (), "no containers", port=6060),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_choose(case: Case) -> None:
    annotations = {DEFAULT: case.default} if case.default else {}
    subject = Pod("shop", "web-0", "uid", annotations=annotations, containers=case.containers)
    if isinstance(case.expected, str):
        with pytest.raises(PortNotFound) as caught:
            choose(subject, case.port, case.container)
        assert case.expected in str(caught.value)
    else:
        found = choose(subject, case.port, case.container)
        assert (found.container.name, found.port.number) == case.expected


def test_an_undeclared_port_has_no_name_and_is_tcp() -> None:
    assert choose(pod("web-0", "shop", PLAIN), 6060, None).port == Port("", 6060, "TCP")
