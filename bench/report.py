"""docs/performance.md and its plot, from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bench.figures import About, InCluster, Reaction, RecordedSeries, Results, Run
from bench.goals import goals
from bench.plot import Panel, svg
from e2e.delta_bench import HEAD, cells

_Row = Sequence[str]
_INTRO = """\
What the operator costs, beside the *floor*: the least that a scraper in Go does, without taking any difference
(e2e/testbed/cmd/floor: a goroutine for each scrape, net/http, pooled gunzip and gzip of klauspost for memory, mutex and
block, one push request for each profile). Both have the same targets, interval and time, each a target server
and a sink of its own; the floor's slots are half an interval away, and not gathered in ticks of 50 ms. The targets
replay what a real kube-apiserver, etcd and the demo app of the testbed have answered, byte for byte, and grow with each
request. Everything runs on the loopback of one machine, together with what else it has to do."""
_MIX = """\
process_cpu, memory, mutex, block and goroutine of a kube-apiserver, every {interval:g} s{delay}. CPU-s per 1,000 scrapes of
operator, floor, and, beside the operator, its target server and sink; a scrape is a request that has arrived at the target
server. Failed: scrapes and pushes of both. More than 1,000 targets have no floor beside: two cores have no room for it."""
_MEMORY = "Memory in MB: the median in the window, and the most since the start. First profile: at the sink, since the start."
_LATENESS = """\
Lateness in ms, of arrivals at the target server against the pinned schedule. Stalls of the operator's event loop in ms: upper
bound of the highest bucket reached in the window; so is *own*, the latest start of a scrape as the operator itself says. The
floor's lateness, in the same time, says how much is the machine's."""
_MACHINE = "What else the machine had to do in the window:"
_TYPES = "One type at a time, {targets} targets, every {interval:g} s, CPU-s per 1,000 scrapes as above:"
_CLUSTER = """\
With a real etcd and kube-apiserver, in the default mix every {interval:g} s; pods have about 8 kB. Synced: from the start of
the process until there is a loop for each scrape. *churn*: pods come, begin to run and go 5 s later, one of ten of them a
target; lateness is that of the lasting targets, and CPU that of everything. RSS in MB, lateness and stalls in ms."""
_REACTION = """\
From the API server's answer to "this pod runs" until /metrics counts its scrape loops: {p50} ms (median of {changes}),
{longest} ms (longest), looked at every {resolution} ms."""
_DELTA = """\
CPU of one difference, gzip in and gzip out, its ratios to the oracle in Python and to Go doing nothing but gunzip and gzip of
the same bytes (`make bench-delta`):"""
_RECORDINGS = "What the targets replay; sizes of the last answer, in kB:"


def table(head: _Row, rows: Iterable[_Row]) -> str:
    """In Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(results: Results) -> str:
    """Parts without figures are left out."""
    parts = ["<!-- Made by `make bench`: do not edit. -->\n\n# Performance", _INTRO]
    if results.mix:
        parts.append("![CPU and memory](performance.svg)")
    if found := list(goals(results)):
        rows = [(goal.what, f"{goal.most:g}", f"{goal.found:.3g}", "yes" if goal.met else "**no**") for goal in found]
        parts += ["## Goals", table(("goal", "at most", "found", "met"), rows)]
    sections: tuple[tuple[str, str, Callable[[Results], Iterator[str]]], ...] = (
        ("Default mix", "mix", _mix),
        ("By profile type", "types", _types),
        ("In a cluster", "cluster", _in_cluster),
        ("Delta", "delta", _deltas),
        ("Recordings", "recordings", _recorded),
    )
    for title, part, section in sections:
        if getattr(results, part):
            parts += [f"## {title}", *section(results)]
            parts += [f"Not complete: {results.failures[part]}"] if part in results.failures else []
            parts += [_about(results.about[part])] if part in results.about else []
    return "\n\n".join(parts) + "\n"


def plot(results: Results) -> str:
    """CPU and memory of the default mix, as SVG."""
    groups = [str(run.targets) for run in results.mix]
    costs = [(run.operator, run.floor) for run in results.mix]
    cpu = [[one.per_1000 if one else None for one in pair] for pair in costs]
    rss = [[one.rss / 1e6 if one else None for one in pair] for pair in costs]
    panels = [Panel("CPU seconds per 1,000 scrapes", groups, "targets", cpu), Panel("RSS in MB", groups, "targets", rss)]
    return svg(panels, ("operator", "floor (Go, no delta)"))


def write(results: Results, path: Path) -> None:
    """The page, and the plot beside it where there is something to plot."""
    path.write_text(page(results), encoding="utf-8")
    if results.mix:
        path.with_suffix(".svg").write_text(plot(results), encoding="utf-8")


def _about(about: About) -> str:
    return f"Made on {about.date} at commit {about.commit} by `{about.command}` on {about.machine}."


def _mix(results: Results) -> Iterator[str]:
    runs = results.mix
    delay = f", answers delayed by up to {1000 * runs[0].delay:g} ms" if runs[0].delay else ""
    yield _MIX.format(interval=runs[0].interval, delay=delay)
    yield _cpu(runs, "targets", lambda run: str(run.targets))
    yield _MEMORY
    yield _memory(runs)
    yield _LATENESS
    yield _lateness(runs)
    yield _MACHINE
    yield _machine(runs, lambda run: str(run.targets))


def _types(results: Results) -> Iterator[str]:
    runs = results.types
    yield _TYPES.format(targets=runs[0].targets, interval=runs[0].interval)
    yield _cpu(runs, "profile", _type)
    yield _MACHINE
    yield _machine(runs, _type)


def _type(run: Run) -> str:
    return f"{', '.join(run.profiles)} of {run.app}"


def _in_cluster(results: Results) -> Iterator[str]:
    found = results.cluster
    yield _CLUSTER.format(interval=found[0].interval)
    yield _clusters(found)
    yield from (_reaction(one.reaction) for one in found if one.reaction)


def _deltas(results: Results) -> Iterator[str]:
    yield _DELTA
    yield table(HEAD, map(cells, results.delta))


def _recorded(results: Results) -> Iterator[str]:
    yield _RECORDINGS
    yield table(("process", "profile", "answers", "gzip", "raw"), map(_series, results.recordings))


def _series(one: RecordedSeries) -> _Row:
    return one.app, one.profile, str(one.snapshots), f"{one.packed / 1e3:.1f}", f"{one.raw / 1e3:.1f}"


def _cpu(runs: Sequence[Run], title: str, name: Callable[[Run], str]) -> str:
    head = (title, "operator", "floor", "ratio", "target server", "sink", "pushes per scrape", "floor's", "scrapes", "failed")
    rows = []
    for run in runs:
        mine, other = run.operator, run.floor
        per = 1000 / max(1, mine.scrapes)
        row = [name(run), f"{mine.per_1000:.2f}", f"{other.per_1000:.2f}" if other else "–"]
        row += ["–" if run.ratio is None else f"{run.ratio:.2f}", f"{mine.replay_cpu * per:.2f}", f"{mine.sink_cpu * per:.3f}"]
        row += [f"{mine.pushes_per_scrape:.3f}", f"{other.pushes_per_scrape:.3f}" if other else "–"]
        rows.append([*row, str(mine.scrapes), str(mine.failed + (other.failed if other else 0))])
    return table(head, rows)


def _memory(runs: Sequence[Run]) -> str:
    head = ("targets", "operator", "its peak", "floor", "its peak", "first profile, s", "floor's")
    rows = []
    for run in runs:
        mine, other = run.operator, run.floor
        row = [str(run.targets), _megabytes(mine.rss), _megabytes(mine.peak)]
        row += [_megabytes(other.rss), _megabytes(other.peak)] if other else ["–", "–"]
        rows.append([*row, f"{mine.first_profile:.1f}", f"{other.first_profile:.1f}" if other else "–"])
    return table(head, rows)


def _lateness(runs: Sequence[Run]) -> str:
    head = (
        *("targets", "p50", "p99", "longest", "own ≤", "missed slots", "of", "longest stall ≤"),
        *("floor p50", "p99", "longest", "missed"),
    )
    rows = []
    for run in runs:
        mine, other = run.operator.punctuality, run.floor.punctuality if run.floor else None
        row = [str(run.targets), *map(_milliseconds, (mine.p50, mine.p99, mine.longest, run.own_lateness))]
        row += [str(mine.missed), str(mine.slots), _milliseconds(run.stall)]
        row += [*map(_milliseconds, (other.p50, other.p99, other.longest)), str(other.missed)] if other else ["–"] * 4
        rows.append(row)
    return table(head, rows)


def _machine(runs: Sequence[Run], name: Callable[[Run], str]) -> str:
    head = ("", "window, s", "other processes, CPU-s", "stolen, s", "load average")
    rows = []
    for run in runs:
        around = run.around
        rows.append((name(run), *(f"{value:.1f}" for value in (around.seconds, around.others, around.steal, around.load))))
    return table(head, rows)


def _clusters(found: Sequence[InCluster]) -> str:
    head = (
        *("", "pods", "targets", "synced, s", "RSS", "its peak", "CPU-s per 1,000 scrapes", "CPU, % of a core", "pod events/s"),
        *("lateness p50", "p99", "longest", "missed slots", "of", "longest stall ≤", "failed", "load average"),
    )
    rows = []
    for one in found:
        cost, late = one.operator, one.operator.punctuality
        row = [one.name, str(one.pods), str(one.targets), f"{one.synced:.1f}", _megabytes(cost.rss), _megabytes(cost.peak)]
        row += [f"{cost.per_1000:.2f}", f"{100 * cost.cpu / one.around.seconds:.1f}", f"{one.events:.0f}"]
        row += [*map(_milliseconds, (late.p50, late.p99, late.longest)), str(late.missed), str(late.slots)]
        rows.append([*row, _milliseconds(one.stall), str(cost.failed), f"{one.around.load:.1f}"])
    return table(head, rows)


def _reaction(found: Reaction) -> str:
    p50, longest, resolution = map(_milliseconds, (found.p50, found.longest, found.resolution))
    return _REACTION.format(p50=p50, longest=longest, changes=found.changes, resolution=resolution)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f}"
