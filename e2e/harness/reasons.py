"""Which reasons the API server has shown to the tests, so that a mark says nothing that is not so.

`@pytest.mark.reaches("Scraping/TargetsDown", ...)` says what a test brings about on real objects.
When it has passed, all of that must have been read from the API server since the test's file began.
tests/unit/docs/test_docs_reasons.py reads the marks, and wants one for each reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

SHOWN: set[str] = set()
"""`<condition>/<reason>` and `failures/<reason>`; `write:` stands before what was a PyroscopeWrite's."""


def look(response: httpx.Response) -> None:
    """Take over what an answer of the API server shows; a hook of its client."""
    if "/pyroscope-operator.dev/" in response.request.url.path and "watch" not in response.request.url.params:
        response.read()
        if response.is_success:
            SHOWN.update(_reasons(json.loads(response.content)))


def _reasons(found: Mapping[str, Any]) -> Iterator[str]:
    """Of an object, or of a list of them, whose items may have no kind."""
    prefix = "write:" if found.get("kind", "").startswith("PyroscopeWrite") else ""
    for item in found.get("items", (found,)):
        status = item.get("status", {})
        if isinstance(status, Mapping):
            yield from (f"{prefix}{one['type']}/{one['reason']}" for one in status.get("conditions", ()))
            yield from (f"failures/{one['reason']}" for one in status.get("failures", ()))


def marked(item: pytest.Item) -> set[str]:
    """What the marks of a test say that it reaches."""
    return {reason for mark in item.iter_markers("reaches") for reason in mark.args}
