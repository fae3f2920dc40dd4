"""The probe of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from pyroscope_operator.transport.loop import PROBE_SECONDS, probed


@pytest.mark.looptime
async def test_the_probe_tells_how_late_it_is() -> None:
    loop, seen, held_up = asyncio.get_running_loop(), list[float](), 0.0
    with probed(seen.append, lambda: loop.time() + held_up, loop.time):
        await asyncio.sleep(4.5 * PROBE_SECONDS)
        assert seen == pytest.approx([0.0] * 4, abs=0.001)
        held_up += 0.5
        await asyncio.sleep(2 * PROBE_SECONDS)
        assert seen[4:] == pytest.approx([0.5, 0.0], abs=0.001)
        held_up -= 0.5
        await asyncio.sleep(PROBE_SECONDS)
        assert seen[6:] == [0.0], "never negative"
    await asyncio.sleep(1)
    assert len(seen) == 7, "it ends with its block"
