"""What the log looks like: one JSON object per line, whatever libraries put into their lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import kopf
import pytest

from pyroscope_operator import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in (*log._QUIET, *log._SECRETIVE)}
    root.handlers.clear()  # pytest's own would be closed
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_debug_lines_of_kopf_are_json_too(capfd: pytest.CaptureFixture[str]) -> None:
    """They carry Kopf's settings, which hold a thread pool."""
    log.configure("debug", "json")
    extra = {"settings": kopf.OperatorSettings(), "k8s_ref": {"kind": "Pod"}, "k8s_skip": True}
    logging.getLogger("kopf.objects").debug("Handler %r is invoked.", "x", extra=extra)
    logging.getLogger("pyroscope_operator").info("seen", extra={"object": "shop/checkout"})
    first, second = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    assert (first["level"], first["message"]) == ("DEBUG", "Handler 'x' is invoked.")
    assert not extra.keys() & first.keys()
    assert (second["logger"], second["object"]) == ("pyroscope_operator", "shop/checkout")


def test_kopf_is_silent_about_each_attempt(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    for name in ("kopf._cogs.clients.watching", "kopf._core.reactor.running"):
        logging.getLogger(name).error("Request attempt #1 failed; will retry")
    logging.getLogger("kopf.activities.authentication").warning("Activity is cancelled. Will escalate.")
    logging.getLogger("kopf.objects").error("Handler failed")
    assert [json.loads(line)["message"] for line in capfd.readouterr().err.splitlines()] == ["Handler failed"]


def test_libraries_that_tell_secrets_are_silent_at_level_debug(capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("debug", "json")
    for name in ("httpcore.http2", "httpcore.proxy", "hpack.hpack", "hpack.table"):
        logging.getLogger(name).debug("authorization: Bearer s3cr3t")
    assert capfd.readouterr().err == ""
