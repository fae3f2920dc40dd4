"""python -m bench: see `python -m bench --help`, or `make bench` for all of it."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import cluster, figures, mix, recordings, report
from e2e.harness.build import CACHE, ROOT, build_all

_PARTS = ("mix", "types", "cluster", "delta")
_DESCRIPTORS = 20_000
_ALONE = 1000
"""More targets than this: no floor beside, two cores have no room for it."""
_TYPES = (
    *(("kube-apiserver", name) for name in mix.DEFAULT),
    *(("demoapp", name) for name in ("mutex", "block")),
)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(_PARTS), help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--targets", type=lambda text: [int(n) for n in text.split(",")], default=[100, 300, 1000, 3000])
    parser.add_argument("--interval", type=float, default=15.0, help="seconds, of the mix")
    parser.add_argument("--intervals", type=int, default=4, help="length of each window")
    parser.add_argument("--delay", type=float, default=0.0, help="longest random delay of an answer of the mix, in seconds")
    parser.add_argument("--no-floor", dest="floor", action="store_false")
    parser.add_argument("--types-targets", type=int, default=300)
    parser.add_argument("--types-interval", type=float, default=5.0)
    parser.add_argument("--cluster-targets", type=lambda text: [int(n) for n in text.split(",")], default=[300, 1000])
    parser.add_argument("--cluster-pods", type=int, default=10_000)
    parser.add_argument("--changes", type=int, default=25, help="pods that begin to run, one after another")
    parser.add_argument("--churn-rate", type=float, default=100.0, help="pods that come and go in a second")
    parser.add_argument("--churn-seconds", type=float, default=60.0)
    parser.add_argument("--results", type=Path, default=CACHE / "bench/results.json")
    parser.add_argument("--report", type=Path, help="write it there; without, it is printed")
    parser.add_argument("--own-network", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _isolated(arguments: argparse.Namespace) -> None:
    """Root gets a network of its own, with nothing but loopback: start over in it."""
    if os.geteuid() == 0 and not arguments.own_network:
        again = [sys.executable, "-m", "bench", *sys.argv[1:], "--own-network"]
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))


def _mixes(arguments: argparse.Namespace) -> Sequence[mix.Plan]:
    return [
        mix.Plan(
            targets,
            interval=arguments.interval,
            intervals=arguments.intervals,
            floor=arguments.floor and targets <= _ALONE,
            delay=arguments.delay,
        )
        for targets in arguments.targets
    ]


def _types(arguments: argparse.Namespace) -> Sequence[mix.Plan]:
    return [
        mix.Plan(arguments.types_targets, (name,), arguments.types_interval, arguments.intervals, arguments.floor, app)
        for app, name in _TYPES
    ]


def _cluster(arguments: argparse.Namespace) -> cluster.ClusterPlan:
    return cluster.ClusterPlan(
        targets=arguments.cluster_targets,
        pods=arguments.cluster_pods,
        interval=arguments.interval,
        intervals=arguments.intervals,
        changes=arguments.changes,
        rate=arguments.churn_rate,
        seconds=arguments.churn_seconds,
    )


def _run(plans: Sequence[mix.Plan]) -> Sequence[figures.Run]:
    found = []
    for plan in plans:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            found.append(mix.run(plan, Path(folder)))
    return found


def main() -> int:
    arguments = _arguments()
    build_all()
    _isolated(arguments)
    results = figures.load(arguments.results)
    results.recordings = recordings.ensure()
    if "mix" in arguments.only:
        results.mix = _run(_mixes(arguments))
    if "types" in arguments.only:
        results.types = _run(_types(arguments))
    if "cluster" in arguments.only:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            results.cluster = cluster.run(_cluster(arguments), Path(folder))
    figures.save(results, arguments.results)
    page = report.page(results)
    if arguments.report:
        arguments.report.write_text(page)
        print(arguments.report.relative_to(ROOT))
    else:
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
