"""`make e2e-node` where it can't run, and the names that it resolves."""

from __future__ import annotations

import socket
import struct

import pytest

from e2e.node import __main__ as stage
from e2e.node.dns import answer
from e2e.node.machine import Unfit


@pytest.fixture(autouse=True)
def unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare() -> None:
        raise Unfit("a node needs root on Linux: sudo make e2e-node")

    monkeypatch.setattr(stage, "prepare", prepare)
    monkeypatch.delenv("E2E_KUBECONFIG", raising=False)
    monkeypatch.delenv("REQUIRE_NODE", raising=False)


def test_skipped_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    assert stage.main([]) == 0
    said = capsys.readouterr().err
    assert "SKIPPED" in said and "sudo make e2e-node" in said


def test_a_skip_is_a_failure_where_it_is_required(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REQUIRE_NODE", "1")
    assert stage.main([]) == 1
    said = capsys.readouterr().err
    assert "FAILED" in said and "sudo make e2e-node" in said


def _query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, 1)


def _service(name: str, namespace: str) -> str:
    return "10.0.0.9" if (name, namespace) == ("pyroscope", "profiles") else ""


@pytest.mark.parametrize(
    ("name", "kind", "code", "address"),
    [
        ("pyroscope.profiles.svc.cluster.local", 1, 0, "10.0.0.9"),
        ("pyroscope.profiles.svc.cluster.local", 28, 0, ""),
        ("pyroscope.other.svc.cluster.local", 1, 3, ""),
        ("pyroscope.profiles", 1, 3, ""),
        ("example.com", 1, 3, ""),
    ],
)
def test_names_of_services(name: str, kind: int, code: int, address: str) -> None:
    query = _query(name, kind)
    response = answer(query, _service)
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", response)
    assert (number, flags & 0x800F, questions, answers) == (7, 0x8000 | code, 1, bool(address))
    assert response[12 : len(query)] == query[12:]
    assert response[-4:] == socket.inet_aton(address) if address else len(response) == len(query)
