"""The command `explain`, against a server of a test: what it asks, prints and returns."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pyroscope_operator import cli
from pyroscope_operator.explain.command import operator_url, run

UNKNOWN: dict[str, Any] = {
    "kind": "pod", "namespace": "shop", "name": "a", "now": "2027-01-15T08:00:00.000+00:00",
    "found": False, "scraped": False, "podsInNamespace": 3, "alike": ["a-1"], "inNamespaces": [], "objects": [],
}  # fmt: skip


@dataclass
class Double:
    """An operator that says what a test wants."""

    status: int = 200
    body: bytes = json.dumps(UNKNOWN).encode()
    asked: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def operator() -> Iterator[Double]:
    double = Double()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            double.asked.append(self.path)
            self.send_response(double.status)
            self.send_header("Content-Length", str(len(double.body)))
            self.end_headers()
            self.wfile.write(double.body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield double
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["pod/a", "-n", "shop"], "namespace=shop&pod=a"),
        (["po/a", "--namespace", "shop"], "namespace=shop&pod=a"),
        (["a"], "namespace=default&pod=a"),
        (["pod/a", "--all"], "namespace=default&pod=a&all=true"),
        (["pod/a&pod=b"], "namespace=default&pod=a%26pod%3Db"),
        (["target/[::1]:80"], "address=%5B%3A%3A1%5D%3A80"),
    ],
)
def test_what_is_asked(operator: Double, arguments: list[str], asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--operator", f"{operator.url}/"]) == 1
    assert operator.asked == [f"/api/v1/explain?{asked}"]
    assert capsys.readouterr().out.startswith(
        "there is no pod/a in namespace shop: the operator knows 3 pods there\n  alike     a-1\n"
    )


def test_json_and_the_exit_code(operator: Double, capsys: pytest.CaptureFixture[str]) -> None:
    answer = {**UNKNOWN, "scraped": True}
    operator.body = json.dumps(answer).encode()
    assert run(["pod/a", "-o", "json", "--operator", operator.url]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_the_operator_is_that_of_the_settings(operator: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYROSCOPE_OPERATOR_LISTEN", operator.url.removeprefix("http://"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert cli.main(["explain", "pod/a"]) == 1
    assert len(operator.asked) == 1


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("", "http://127.0.0.1:8080"),
        (":9090", "http://127.0.0.1:9090"),
        ("0.0.0.0:9090", "http://127.0.0.1:9090"),
        ("[::]:9090", "http://127.0.0.1:9090"),
        ("127.0.0.5:9090", "http://127.0.0.5:9090"),
        ("[::1]:9090", "http://[::1]:9090"),
        (":0", "http://127.0.0.1:8080"),
    ],
)
def test_where_the_operator_is(listen: str, url: str) -> None:
    assert operator_url(listen) == url


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b'{"error": "it scrapes nothing yet: it waits for the lease"}', "it waits for the lease"),
        (400, b'{"error": "ask for a pod"}', "can't tell: ask for a pod"),
        (404, b"404: Not Found", "is no pyroscope-operator that can explain"),
        (200, b"<html>", "is no pyroscope-operator that can explain"),
        (200, b"[]", "is no pyroscope-operator that can explain"),
        (200, b"\xff\xfe", "is no pyroscope-operator that can explain"),
    ],
)
def test_answers_that_are_none(operator: Double, status: int, body: bytes, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    operator.status, operator.body = status, body
    assert run(["pod/a", "--operator", operator.url]) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True)


def test_nobody_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pod/a", "-n", "shop", "--operator", "http://127.0.0.1:1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("pyroscope-operator: no operator at http://127.0.0.1:1: ")
    assert "pyroscope-operator explain pod/a -n shop\n" in err
    assert "kubectl port-forward -n OPERATORS-NAMESPACE deploy/pyroscope-operator 1:8080" in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["service/a"], ["pod/"], ["a", "b"], ["a", "--operator", "here"], ["a", "--operator", "http://"], ["a", "-o", "yaml"]],
)
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 2
    assert "usage: pyroscope-operator explain" in capsys.readouterr().err
