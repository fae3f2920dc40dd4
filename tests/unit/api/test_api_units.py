"""Durations and sizes, as manifests write them."""

import pytest

from pyroscope_operator.api import duration, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("1h1m1s1ms", 3661.001),
        ("0s", 0),
        ("0.1s0.2s", 0.3),
        ("1.999999999s", 1.999999999),
        ("1s1s", 2),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "s", "1d", "-1s", "+1s", ".5s", "1 s", "1s ", "15s\n", "1S", "1us", "1e3s", "٣s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        duration.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (14, "14s"), (90, "1m30s"), (0.5, "500ms"), (3600, "1h"), (5400.25, "1h30m250ms"), (1e-4, "0s")],
)
def test_rendered_duration(seconds: float, text: str) -> None:
    assert duration.render(seconds) == text


def test_a_duration_is_never_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        duration.render(-1)


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("5B", 5), ("1KB", 1024), ("1KiB", 1024), ("1.5MiB", 1_572_864), (".5KB", 512), ("2GB", 2**31), ("1EiB", 2**60)],
)
def test_size(text: str, number: int) -> None:
    assert size.parse(text) == number


@pytest.mark.parametrize("text", ["", "5", "B", "MB", "1mb", "1 MB", "-1MB", "x5MB", "1.MB", "16MiB\n"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        size.parse(text)
