"""What the bench reads: recorded answers, the operator's metrics, /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.exposition import highest, parse
from bench.machine import moment
from bench.recordings import body, kept

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
_SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"


def test_body_of_an_answer() -> None:
    assert body(_CHUNKED) == b"abc0123456789"
    assert body(_SIZED) == b"abc"


@pytest.mark.parametrize(
    "answer",
    [_SIZED[:-1], _CHUNKED[:-6], _CHUNKED[:-10], _SIZED.replace(b"200 OK", b"500 no"), b"", b"HTTP/1.1 200 OK\r\n\r\nabc"],
    ids=["cut", "cut before the end", "cut in a chunk", "no success", "nothing", "no length"],
)
def test_an_answer_that_is_not_whole(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        body(answer)


def test_a_kept_answer_does_not_close_the_connection() -> None:
    assert kept(_CHUNKED) == _CHUNKED.replace(b"Connection: close\r\n", b"")
    assert kept(_SIZED) == _SIZED


_METRICS = """\
# TYPE pyroscope_operator_scrapes counter
pyroscope_operator_scrapes_total{profile="memory",result="ok"} 10.0
pyroscope_operator_scrapes_total{profile="memory",result="Timeout"} 2.0
# TYPE pyroscope_operator_profiles_dropped counter
pyroscope_operator_profiles_dropped_total{reason="QueueFull"} 3.0
# TYPE pyroscope_operator_scrape_loops gauge
pyroscope_operator_scrape_loops 25.0
# TYPE pyroscope_operator_pods gauge
pyroscope_operator_pods 7.0
"""
_STALLS = """\
# TYPE pyroscope_operator_event_loop_stall_seconds histogram
pyroscope_operator_event_loop_stall_seconds_bucket{{le="0.005"}} {}
pyroscope_operator_event_loop_stall_seconds_bucket{{le="0.025"}} {}
pyroscope_operator_event_loop_stall_seconds_bucket{{le="+Inf"}} {}
"""


def test_metrics() -> None:
    found = parse(_METRICS)
    assert (found.failed, found.loops, found.pods, found.stalls) == (5, 25, 7, None)
    assert highest(found.stalls, found.stalls) is None


@pytest.mark.parametrize(
    ("after", "longest"),
    [((10, 12, 12), 0.0), ((11, 13, 13), 0.005), ((15, 18, 18), 0.025), ((10, 12, 13), float("inf"))],
)
def test_longest_stall_is_that_of_the_window(after: tuple[int, int, int], longest: float) -> None:
    assert highest(parse(_STALLS.format(10, 12, 12)).stalls, parse(_STALLS.format(*after)).stalls) == longest


def test_a_histogram_with_labels_is_one() -> None:
    name = "pyroscope_operator_scrape_lateness_seconds"
    lines = [
        f'{name}_bucket{{profile_type="{type_}",le="{le}"}} {n}' for type_, le, n in (("a", 0.1, 1), ("b", 0.1, 2), ("b", 1, 5))
    ]
    assert parse("\n".join([f"# TYPE {name} histogram", *lines, ""])).lateness == {0.1: 3.0, 1.0: 5.0}


def test_moment(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  100 200 300 4000 50 6 7 800 0 0\ncpu0 1 2 3\n")
    (tmp_path / "loadavg").write_text("0.52 0.41 0.34 2/96 16128\n")
    found = moment(tmp_path)
    assert (found.busy, found.steal, found.load) == (6.13, 8.0, 0.52)
