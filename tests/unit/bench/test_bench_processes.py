"""What a process costs."""

from __future__ import annotations

import os
import time

import pytest

from bench.processes import cpu_seconds, peak_rss, rss


def test_cpu_seconds_are_those_of_the_process() -> None:
    before = time.process_time()
    found = cpu_seconds(os.getpid())
    assert before <= found <= time.process_time()


def test_memory() -> None:
    held = bytearray(b"x" * (64 << 20))
    now = rss(os.getpid())
    assert now > len(held)
    assert peak_rss(os.getpid()) >= 0.98 * now  # both are counted in batches


def test_a_process_that_is_gone() -> None:
    with pytest.raises(OSError, match=r".*"):
        cpu_seconds(2**22 - 1)
