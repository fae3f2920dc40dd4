"""What the registry shows beyond plain counters."""

from __future__ import annotations

import asyncio

from pyroscope_operator import __version__, app
from pyroscope_operator.cli import read_settings
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


def test_alerts_can_compare_with_settings() -> None:
    metrics = Metrics()
    app._show_settings(read_settings(["--pyroscope-url=http://p", "--queue-size=32MiB"]), metrics)
    value = metrics.registry.get_sample_value
    assert value("pyroscope_operator_info", {"version": __version__, "mode": "cluster"}) == 1
    assert value("pyroscope_operator_setting_bytes", {"setting": "queue-size"}) == 32 << 20
    assert value("pyroscope_operator_setting_bytes", {"setting": "baseline-memory"}) == 1 << 30
