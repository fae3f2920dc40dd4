"""Puts this folder on sys.path, and runs its tests on both event loops: that of production and that of other tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pyroscope_operator.transport.loop import Loop


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    production = {} if item.get_closest_marker("looptime") else {"uvloop": Loop}
    return production | {"asyncio": asyncio.new_event_loop}
