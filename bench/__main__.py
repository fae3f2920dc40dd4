"""python -m bench: see `python -m bench --help`, or `make bench` for all of it."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import cluster, figures, machine, mix, recordings, report
from bench.say import say
from bench.window import Refused
from e2e import delta_bench
from e2e.harness.build import CACHE, ROOT, build_all
from e2e.harness.wait import Hopeless

_DESCRIPTORS = 20_000
_ALONE = 1000
"""More targets than this: no floor beside, two cores have no room for it."""
_TYPES = (
    *(("kube-apiserver", name) for name in mix.DEFAULT),
    *(("demoapp", name) for name in ("mutex", "block")),
)
_MOST_SAID = 200
"""Characters of an error that are kept."""
_OWN_NETWORK = "--own-network"


def _numbers(text: str) -> Sequence[int]:
    return [int(number) for number in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--only", default=",".join(_PARTS), help="parts to run; of the others, the last results stay")
    parser.add_argument("--targets", type=_numbers, default=[100, 300, 1000, 3000], help="of the mix")
    parser.add_argument("--interval", type=float, default=15.0, help="seconds, of the mix and in the cluster")
    parser.add_argument("--intervals", type=int, default=4, help="length of each window")
    parser.add_argument("--delay", type=float, default=0.0, help="longest random delay of an answer of the mix, in seconds")
    parser.add_argument("--no-floor", dest="floor", action="store_false", help="the operator alone")
    parser.add_argument("--types", type=lambda text: text.split(","), default=list(mix.DEFAULT), help="one at a time")
    parser.add_argument("--types-targets", type=int, default=300, help="number of targets with one type at a time")
    parser.add_argument("--types-interval", type=float, default=5.0, help="seconds")
    parser.add_argument("--cluster-targets", type=_numbers, default=[300, 1000], help="operators that see only their targets")
    parser.add_argument("--cluster-pods", type=int, default=10_000, help="in the watch of the last operator")
    parser.add_argument("--changes", type=int, default=25, help="pods that begin to run, one after another")
    parser.add_argument("--churn-rate", type=float, default=100.0, help="pods that come and go in a second")
    parser.add_argument("--churn-seconds", type=float, default=60.0, help="for so long")
    parser.add_argument("--results", type=Path, default=CACHE / "bench/results.json", help="where the figures are kept")
    parser.add_argument("--report", type=Path, help="write the page there, and the plot beside; without, it is printed")
    parser.add_argument(_OWN_NETWORK, action="store_true", help=argparse.SUPPRESS)
    return parser


def _isolate(arguments: argparse.Namespace) -> None:
    """Root gets a network of its own, with nothing but loopback: start over in it."""
    if os.geteuid() == 0 and not arguments.own_network:
        again = [sys.executable, "-m", "bench", *sys.argv[1:], _OWN_NETWORK]
        os.execvp("unshare", ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *again])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))


def _mix(arguments: argparse.Namespace) -> Iterator[figures.Run]:
    for targets in arguments.targets:
        plan = mix.Plan(
            targets,
            interval=arguments.interval,
            intervals=arguments.intervals,
            floor=arguments.floor and targets <= _ALONE,
            delay=arguments.delay,
        )
        yield _run(plan)


def _types(arguments: argparse.Namespace) -> Iterator[figures.Run]:
    for app, name in _TYPES:
        if name in arguments.types:
            targets, interval = arguments.types_targets, arguments.types_interval
            yield _run(mix.Plan(targets, (name,), interval, arguments.intervals, arguments.floor, app))


def _run(plan: mix.Plan) -> figures.Run:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return mix.run(plan, Path(folder))


def _cluster(arguments: argparse.Namespace) -> Iterator[figures.InCluster]:
    plan = cluster.ClusterPlan(
        targets=arguments.cluster_targets,
        pods=arguments.cluster_pods,
        interval=arguments.interval,
        intervals=arguments.intervals,
        changes=arguments.changes,
        rate=arguments.churn_rate,
        seconds=arguments.churn_seconds,
    )
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield from cluster.run(plan, Path(folder))


def _delta(_: argparse.Namespace) -> Iterator[delta_bench.Row]:
    say("delta")
    return delta_bench.rows()


_PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Any]]] = {
    "mix": _mix,
    "types": _types,
    "cluster": _cluster,
    "delta": _delta,
}
"""Each gives its figures one by one, in the order of the report."""


def _measure(part: str, arguments: argparse.Namespace, results: figures.Results) -> bool:
    """Run a part and keep what it has found, even when it fails later; whether it has not."""
    found: list[Any] = []
    setattr(results, part, found)
    results.about[part] = _about()
    results.failures.pop(part, None)
    try:
        for one in _PARTS[part](arguments):
            found.append(one)
            figures.save(results, arguments.results)
    except (AssertionError, Hopeless, Refused) as error:
        results.failures[part] = str(error).partition("\n")[0][:_MOST_SAID]
        figures.save(results, arguments.results)
        print(f"{part} failed: {error}", file=sys.stderr)
        return False
    return True


def _about() -> figures.About:
    described = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    words = [word for word in sys.argv[1:] if word != _OWN_NETWORK]
    return figures.About(
        command=shlex.join(["python", "-m", "bench", *words]),
        commit=described.stdout.strip() or "unknown",
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine.description(),
    )


def main() -> int:
    """Returns 1 where a run has failed or its figures would not be true."""
    arguments = _parser().parse_args()
    parts = arguments.only.split(",")
    if unknown := set(parts) - _PARTS.keys():
        raise SystemExit(f"--only: there is no {', '.join(sorted(unknown))}; parts are {', '.join(_PARTS)}")
    build_all()
    _isolate(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is stopped
    results = figures.load(arguments.results)
    results.recordings = recordings.ensure()
    done = [_measure(part, arguments, results) for part in parts]
    if arguments.report:
        report.write(results, arguments.report)
    else:
        print(report.page(results))
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
