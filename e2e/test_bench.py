"""The bench still measures: a few targets, a few seconds, the operator and the floor."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from bench import mix, recordings, report
from bench.figures import Cost, Results
from e2e.conftest import StartApp

_TARGETS = 5
_SNAPSHOTS = 12


def test_a_short_run(start_app: StartApp, tmp_path: Path) -> None:
    app = start_app("app", "127.0.0.1", port=0, record=False)
    recorded = tmp_path / "recordings"
    recordings.record({"demoapp": recordings.plain(int(app.address.rpartition(":")[2]))}, recorded, _SNAPSHOTS, cpu_seconds=1)
    bodies = recordings.bodies("demoapp", "allocs", recorded)
    assert len(set(bodies)) == len(bodies) == _SNAPSHOTS

    plan = mix.Plan(_TARGETS, interval=2.0, intervals=3, app="demoapp", recordings=recorded)
    run = mix.run(plan, tmp_path)
    assert run.floor is not None and run.ratio is not None
    slots = _TARGETS * len(mix.DEFAULT) * plan.intervals
    for cost in (run.operator, run.floor):
        assert cost.failed == 0
        assert 0.8 * slots < cost.scrapes < 1.2 * slots  # the window cuts through slots
        _check(cost, slots)
    assert run.floor.pushes_per_scrape > 0.8
    results = Results(mix=[run])
    assert f"| {_TARGETS} |" in report.page(results)
    ElementTree.fromstring(report.plot(results))


def _check(cost: Cost, slots: int) -> None:
    found = cost.punctuality
    assert (found.slots, found.missed, found.doubled) == (slots, 0, 0)
    # Against wrong offsets it would be anything up to the interval.
    assert 0 <= found.p50 < 0.25
    assert cost.profiles > 0 and cost.pushes > 0
    assert 0 < cost.first_profile < 30
    assert cost.cpu > 0 and cost.peak >= cost.rss > 1_000_000
