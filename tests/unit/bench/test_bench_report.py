"""The page and the plot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.figures import About, Cost, InCluster, Reaction, RecordedSeries, Results, Run, Surroundings, load, save
from bench.goals import goals
from bench.plot import Panel, step, svg
from bench.report import page, plot, write
from bench.schedule import Punctuality
from e2e.delta_bench import Row

_COST = Cost(
    scrapes=20_000,
    cpu=8.0,
    rss=170_000_000,
    peak=180_000_000,
    pushes=60,
    profiles=15_000,
    failed=0,
    replay_cpu=2.0,
    sink_cpu=0.1,
    punctuality=Punctuality(20_000, 0, 0, 0.001, 0.012, 0.031, 0.0),
    first_profile=2.1,
)
_FLOOR = replace(_COST, cpu=20.0, pushes=20_000)
_AROUND = Surroundings(60.0, 3.0, 0.0, 1.5)
_RUN = Run("kube-apiserver", ("memory",), 1000, 15.0, 0.0, _COST, _FLOOR, 0.025, _AROUND)
_ALONE = replace(_RUN, targets=3000, floor=None, stall=None)
_QUIET = InCluster("quiet", 10_000, 300, 12.0, _COST, None, 0.0, None, _AROUND)
_BUSY = replace(_QUIET, name="churn", reaction=Reaction(25, 0.09, 0.21, 0.012))
_ROW = Row("etcd-allocs", 80.0, 500, 10.0, 0.5, 0.2, 0.75, 20.0, 100.0)
_FULL = Results(
    about={"mix": About("python -m bench", "abc123", "2026-11-25 08:00 UTC", "2 cores")},
    recordings=[RecordedSeries("etcd", "allocs", 48, 20_000, 55_500)],
    mix=[_RUN, _ALONE],
    types=[replace(_RUN, profiles=("mutex",), targets=300)],
    cluster=[_QUIET, _BUSY],
    delta=[_ROW],
)


def test_figures_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "folder/results.json"
    assert load(path) == Results()
    save(_FULL, path)
    found = load(path)
    assert found.mix[0] == _RUN and found.cluster[1] == _BUSY and found.delta[0] == _ROW
    assert page(found) == page(_FULL)


def test_page() -> None:
    text = page(_FULL)
    assert "| 1000 | 0.40 | 1.00 | 0.40 | 0.10 | 0.005 | 0.003 | 1.000 | 20000 | 0 |" in text
    assert "| 3000 | 0.40 | – | – |" in text
    assert "| mutex of kube-apiserver | 0.40 |" in text
    assert "90 ms (median of 25),\n210 ms (longest)" in text
    assert "| etcd | allocs | 48 | 20.0 | 55.5 |" in text
    assert "at commit abc123 by `python -m bench`" in text
    for line in text.splitlines():
        assert not line.endswith(" ")


def test_parts_without_figures_are_left_out() -> None:
    text = page(Results(types=_FULL.types))
    assert "## By profile type" in text
    assert not any(title in text for title in ("## Default mix", "## In a cluster", "## Delta", "performance.svg"))


def test_what_failed_is_told() -> None:
    assert "\nNot complete: the machine was too busy\n" in page(replace(_FULL, failures={"mix": "the machine was too busy"}))
    assert "Not complete" not in page(_FULL)


def test_goals() -> None:
    found = {goal.what: goal.met for goal in goals(_FULL)}
    assert found == {
        "CPU per scrape, ratio to the floor, 1000 targets": True,
        "RSS in MB, 1000 targets": True,
        "missed slots, 1,000 targets": True,
        "lateness in ms, p99, 1,000 targets": True,
        "longest event-loop stall in ms, 1,000 targets": True,
        "push requests per scrape, 1,000 targets": True,
        "RSS in MB, 10000 pods in the watch": True,
        "from a change of a pod to its scrape loops in ms, longest": False,
        "delta of etcd-allocs, ratio to Go's gunzip and gzip": False,
    }


def test_page_and_plot_are_written(tmp_path: Path) -> None:
    write(_FULL, tmp_path / "performance.md")
    assert (tmp_path / "performance.md").read_text() == page(_FULL)
    assert (tmp_path / "performance.svg").read_text() == plot(_FULL)


def test_plot_has_a_bar_for_each_figure() -> None:
    drawn = ElementTree.fromstring(plot(_FULL))
    bars = [one.get("class") for one in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert (bars.count("bar0"), bars.count("bar1")) == (2 * 2 + 1, 2 * 1 + 1)  # with the legend


def test_bars_stay_in_the_picture_and_show_proportions() -> None:
    drawn = ElementTree.fromstring(svg([Panel("a & b", ["1", "2"], "x", [[2.0], [8.0]])], ["<only>"]))
    bars = [one for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("rx") is None]
    heights = [float(one.get("height", 0)) for one in bars]
    assert heights[1] == pytest.approx(4 * heights[0], abs=0.3)
    assert all(float(one.get("y", 0)) >= 0 for one in bars)


@pytest.mark.parametrize(("most", "wanted"), [(1.0, 0.2), (0.8, 0.1), (0.81, 0.2), (785, 100), (9.5, 2.0), (300, 50), (0, 0.2)])
def test_steps_of_the_grid(most: float, wanted: float) -> None:
    assert step(most) == pytest.approx(wanted)
