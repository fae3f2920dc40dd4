"""What the registry shows beyond plain counters."""

from __future__ import annotations

import asyncio

from pyroscope_operator.metrics import Metrics


def _tasks(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("pyroscope_operator_event_loop_tasks", {"loop": "main"})


async def test_tasks_are_counted_whenever_one_looks() -> None:
    metrics = Metrics()
    metrics.count_tasks("main", asyncio.get_running_loop())
    before = _tasks(metrics)
    waiting = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    assert before is not None
    assert _tasks(metrics) == before + 3
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await asyncio.to_thread(_tasks, metrics) == before  # also from another thread


def test_the_process_is_measured() -> None:
    resident = Metrics().registry.get_sample_value("process_resident_memory_bytes")
    assert resident is not None
    assert resident > 1_000_000
