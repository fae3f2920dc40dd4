"""The native core and the oracle agree on what real Go processes serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness.series import Recorder, Series
from pyroscope_operator.pprof import _native, oracle

_LIMIT = 1 << 24
_SEED = bytes(range(16))
_ROUNDS = 4


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Series]]:
    """Two lives of an API server, of etcd and of a demo app."""
    recorder = Recorder(tmp_path_factory.mktemp("series"))
    try:
        recorder.record(_ROUNDS)
        recorder.restart()
        recorder.record(_ROUNDS)
        yield recorder.series
    finally:
        recorder.stop()


def _agreed(series: Series) -> list[int]:
    """Samples of each difference, −1 for a baseline."""
    reference, native = oracle.OracleComputer(_SEED), _native.Computer(_SEED)
    samples = []
    for body in series.bodies:
        expected = reference.difference(body, _LIMIT)
        assert native.difference(body, _LIMIT) == expected
        assert _native.inspect(body, _LIMIT) == oracle.inspect(body, _LIMIT)
        samples.append(expected[1] if expected else -1)
    return samples


def test_oracle_and_core_agree_across_a_restart(recorded: dict[str, Series], tmp_path: Path) -> None:
    differences = {name: _agreed(series) for name, series in recorded.items()}
    for name, samples in differences.items():
        assert len(samples) == 2 * _ROUNDS
        assert samples[0] == -1
        restarts = recorded[name].restarts
        # Where nothing had been counted before, a restart can't be seen, and need not be.
        assert [index for index in range(1, len(samples)) if samples[index] < 0] in (restarts, [])
    for app in ("demoapp", "kube-apiserver", "etcd"):
        assert max(differences[f"{app}-allocs"]) > 5
    assert max(differences["demoapp-mutex"]) > 0
    assert max(differences["demoapp-block"]) > 0
    for app in ("demoapp", "kube-apiserver", "etcd"):
        assert differences[f"{app}-allocs"][_ROUNDS] == -1
