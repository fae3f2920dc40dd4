"""docs/performance.md, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.figures import InCluster, Reaction, Results, Run

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """In Markdown; the first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f}"


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.0f}"


def ratio(run: Run) -> str:
    return "–" if run.ratio is None else f"{run.ratio:.2f}"


def cpu(runs: Sequence[Run], name: str, title: str) -> str:
    head = (title, "operator", "floor", "ratio", "target server", "sink", "pushes per scrape", "floor's", "scrapes", "failed")
    rows = []
    for run in runs:
        mine, other = run.operator, run.floor
        per = 1000 / mine.scrapes
        rows.append(
            (
                name.format(run=run, profiles=", ".join(run.profiles)),
                f"{mine.per_1000:.2f}",
                f"{other.per_1000:.2f}" if other else "–",
                ratio(run),
                f"{mine.replay_cpu * per:.2f}",
                f"{mine.sink_cpu * per:.3f}",
                f"{mine.pushes_per_scrape:.3f}",
                f"{other.pushes_per_scrape:.3f}" if other else "–",
                str(mine.scrapes),
                str(mine.failed + (other.failed if other else 0)),
            )
        )
    return table(head, rows)


def memory(runs: Sequence[Run]) -> str:
    head = ("targets", "operator", "its peak", "floor", "its peak", "first profile, s", "floor's")
    rows = [
        (
            str(run.targets),
            megabytes(run.operator.rss),
            megabytes(run.operator.peak),
            megabytes(run.floor.rss) if run.floor else "–",
            megabytes(run.floor.peak) if run.floor else "–",
            f"{run.operator.first_profile:.1f}",
            f"{run.floor.first_profile:.1f}" if run.floor else "–",
        )
        for run in runs
    ]
    return table(head, rows)


def lateness(runs: Sequence[Run]) -> str:
    head = ("targets", "p50", "p99", "longest", "missed slots", "of", "longest stall ≤", "floor p50", "p99", "longest", "missed")
    rows = []
    for run in runs:
        mine = run.operator.punctuality
        row = [str(run.targets), *map(milliseconds, (mine.p50, mine.p99, mine.longest)), str(mine.missed), str(mine.slots)]
        row.append(milliseconds(run.stall))
        other = run.floor.punctuality if run.floor else None
        row += [*map(milliseconds, (other.p50, other.p99, other.longest)), str(other.missed)] if other else ["–"] * 4
        rows.append(row)
    return table(head, rows)


def clusters(found: Sequence[InCluster]) -> str:
    head = (
        *(
            "",
            "pods",
            "targets",
            "synced, s",
            "RSS",
            "its peak",
            "CPU-s per 1,000 scrapes",
            "CPU, % of a core",
            "pod events per s",
        ),
        *("lateness p50", "p99", "longest", "missed slots", "of", "longest stall ≤", "failed"),
    )
    rows = []
    for one in found:
        cost, late = one.operator, one.operator.punctuality
        row = [one.name, str(one.pods), str(one.targets), f"{one.synced:.1f}", megabytes(cost.rss), megabytes(cost.peak)]
        row += [f"{cost.per_1000:.2f}", f"{100 * cost.cpu / one.around.seconds:.1f}", f"{one.events:.0f}"]
        row += [*map(milliseconds, (late.p50, late.p99, late.longest)), str(late.missed), str(late.slots)]
        rows.append([*row, milliseconds(one.stall), str(cost.failed)])
    return table(head, rows)


def reaction(found: Reaction) -> str:
    return (
        f"{found.changes} pods that begin to run: {milliseconds(found.p50)} ms (median), {milliseconds(found.longest)} ms (longest); "
        f"a look every {milliseconds(found.resolution)} ms."
    )


def machine(runs: Sequence[Run]) -> str:
    head = ("targets", "window, s", "other processes, CPU-s", "stolen, s", "load average")
    rows = [
        (
            str(run.targets),
            f"{run.around.seconds:.0f}",
            f"{run.around.others:.0f}",
            f"{run.around.steal:.1f}",
            f"{run.around.load:.1f}",
        )
        for run in runs
    ]
    return table(head, rows)


def page(results: Results) -> str:
    parts = ["# Performance"]
    if results.mix:
        parts += [cpu(results.mix, "{run.targets}", "targets"), memory(results.mix), lateness(results.mix), machine(results.mix)]
    if results.types:
        parts += [cpu(results.types, "{profiles} of {run.app}", "profile")]
    if results.cluster:
        parts += [clusters(results.cluster), *(reaction(one.reaction) for one in results.cluster if one.reaction)]
    return "\n\n".join(parts) + "\n"
