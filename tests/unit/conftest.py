"""Puts this folder on sys.path, as pytest does with every folder of a conftest: `builders` serves all tests below."""

from __future__ import annotations

from collections.abc import Iterator

import engines
import pytest


@pytest.fixture(params=list(engines.ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test once over each transport for direct HTTP/1.1."""
    engines.choose(request.param)
    yield request.param
    engines.choose("lean")
