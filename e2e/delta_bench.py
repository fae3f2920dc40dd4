"""What the delta core costs, beside the oracle and beside Go doing nothing but gzip, in one run.

make bench-delta, or: python -m e2e.delta_bench
"""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from e2e.harness.build import BIN
from e2e.harness.series import Recorder
from pyroscope_operator._proto.profile_pb2 import Profile
from pyroscope_operator.pprof import _native, core, oracle
from pyroscope_operator.pprof.gunzip import compress

_LIMIT = 1 << 26
_SEED = bytes(range(16))
_REPEATS = 5
_LEAST_SECONDS = 0.2
"""Of CPU for each figure and repeat."""


@dataclass(frozen=True)
class Row:
    """One series: sizes in kB, `core` in CPU milliseconds for each difference."""

    series: str
    raw_kb: float
    samples: int
    sent_kb: float
    core_ms: float
    to_oracle: float
    """Ratio of the CPU time."""
    to_go: float
    core_state_kb: float
    oracle_state_kb: float


HEAD = (
    *("series", "raw kB", "samples", "sent kB", "core ms", "core / oracle", "core / Go gunzip+gzip"),
    *("state kB, core", "oracle"),
)


def rows() -> Iterator[Row]:
    """One after another, as they are measured."""
    with tempfile.TemporaryDirectory(prefix="delta-bench-") as name:
        folder = Path(name)
        for title, bodies in {**_recorded(folder), "large (made up)": _large()}.items():
            yield _row(title, bodies, folder)


def cells(row: Row) -> Sequence[str]:
    """As in a table below HEAD."""
    return (
        *(row.series, f"{row.raw_kb:.0f}", str(row.samples), f"{row.sent_kb:.0f}", f"{row.core_ms:.2f}"),
        *(f"{row.to_oracle:.3f}", f"{row.to_go:.2f}", f"{row.core_state_kb:.1f}", f"{row.oracle_state_kb:.1f}"),
    )


def main() -> None:
    print(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for row in rows():
        print(f"| {' | '.join(cells(row))} |", flush=True)


def _recorded(folder: Path) -> dict[str, Sequence[bytes]]:
    recorder = Recorder(folder)
    try:
        recorder.record(6)
    finally:
        recorder.stop()
    wanted = ("kube-apiserver-allocs", "demoapp-allocs", "etcd-allocs", "demoapp-mutex")
    return {name: recorder.series[name].bodies for name in wanted}


def _large(samples: int = 17_655, places: int = 20_000, depth: int = 28) -> Sequence[bytes]:
    """As many samples as the largest profile seen had, of which a third has grown from one to the next."""
    rng = random.Random(1)
    strings = ["", "alloc_objects", "count", "alloc_space", "bytes", "inuse_objects", "inuse_space", "space"]
    profile = Profile(time_nanos=10**18, period=512 * 1024)
    for kind, unit in ((1, 2), (3, 4), (5, 2), (6, 4)):
        profile.sample_type.add(type=kind, unit=unit)
    profile.period_type.type, profile.period_type.unit = 7, 4
    profile.mapping.add(id=1, memory_start=0x400000)
    for number in range(1, places + 1):
        strings.append(f"example.com/shop/internal/part{number % 97}.(*Thing{number % 1009}).method{number}")
        profile.function.add(id=number, name=len(strings) - 1, system_name=len(strings) - 1, filename=1)
        profile.location.add(id=number, mapping_id=1, address=0x400000 + 64 * number).line.add(
            function_id=number, line=number % 2000
        )
    roots = [[rng.randrange(1, places) for _ in range(depth // 2)] for _ in range(samples // 20)]
    for _ in range(samples):
        stack = [rng.randrange(1, places) for _ in range(depth // 2)] + rng.choice(roots)
        count, kept = rng.randrange(1, 1 << 20), int(rng.random() < 0.3)
        profile.sample.add(location_id=stack, value=[count, 64 * count, kept, 64 * kept]).label.add(key=4, num=64)
    profile.string_table.extend(text.encode() for text in strings)
    first = gzip.compress(profile.SerializeToString(), 6)
    for sample in profile.sample:
        if rng.random() < 1 / 3:
            sample.value[0] += 5
            sample.value[1] += 320
    profile.time_nanos += 15 * 10**9
    return first, gzip.compress(profile.SerializeToString(), 6)


def _row(title: str, bodies: Sequence[bytes], folder: Path) -> Row:
    paths = []
    for number, body in enumerate(bodies[1:]):
        paths.append(folder / f"body-{number}.pb.gz")
        paths[-1].write_bytes(body)
    native, reference, go = [], [], []
    for _ in range(_REPEATS):  # in turns, so that what else happens on the machine hits all of them
        native.append(_seconds(_native.Computer, bodies))
        go.append(_go_seconds(paths))
        reference.append(_seconds(oracle.OracleComputer, bodies))
    ratio: Callable[[list[float]], float] = lambda other: median(a / b for a, b in zip(native, other, strict=True))  # noqa: E731
    sizes, sent = _last(bodies)
    raw = gzip.decompress(bodies[-1])
    return Row(
        series=title,
        raw_kb=len(raw) / 1e3,
        samples=len(Profile.FromString(raw).sample),
        sent_kb=sent / 1e3,
        core_ms=median(native) * 1e3,
        to_oracle=ratio(reference),
        to_go=ratio(go),
        core_state_kb=sizes[0] / 1e3,
        oracle_state_kb=sizes[1] / 1e3,
    )


def _seconds(new_core: core.NewCore, bodies: Sequence[bytes]) -> float:
    """CPU seconds for each difference, gzip in and gzip out."""
    spent, turns = 0.0, 0
    while spent < _LEAST_SECONDS:
        computer = new_core(_SEED)
        computer.difference(bodies[0], _LIMIT)
        started = time.process_time()
        for body in bodies[1:]:
            found = computer.difference(body, _LIMIT)
            if found:
                compress(found[0])
        spent += time.process_time() - started
        turns += len(bodies) - 1
    return spent / turns


def _go_seconds(paths: Sequence[Path]) -> float:
    command = [str(BIN / "gziploop"), f"-least={_LEAST_SECONDS / len(paths)}s", *map(str, paths)]
    made = subprocess.run(command, check=True, capture_output=True, text=True)
    took: dict[str, float] = json.loads(made.stdout)
    return sum(took.values()) / len(took)


def _last(bodies: Sequence[bytes]) -> tuple[list[int], int]:
    """Bytes of both states in the end, and of what was sent last."""
    sizes, sent = [], 0
    for new_core in (_native.Computer, oracle.OracleComputer):
        computer: core.Core = new_core(_SEED)
        found = None
        for body in bodies:
            found = computer.difference(body, _LIMIT)
        sizes.append(computer.size)
        sent = len(compress(found[0])) if found else 0
    return sizes, sent


if __name__ == "__main__":
    main()
