"""The status, as it is written to the API server."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from pyroscope_operator.api.status import Condition, Failure, ScrapeStatus, TargetCounts

NOON = datetime(2026, 1, 2, 12, 0, 0, 999999, tzinfo=UTC)


def condition(**fields: Any) -> Condition:
    values = {"type": "Ready", "status": "True", "last_transition_time": NOON, "reason": "AllUp", "message": "", **fields}
    return Condition(**values)


def test_manifest() -> None:
    status = ScrapeStatus(
        observed_generation=2,
        conditions=(condition(),),
        targets=TargetCounts(pods=3, active=2, up=1, down=1),
        summary="1/2",
        last_scrape_time=NOON.astimezone(timezone(timedelta(hours=2))),
        failures=(Failure(pod="a", profile="memory", reason="Timeout"),),
    )
    assert status.manifest() == {
        "observedGeneration": 2,
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T12:00:00Z", "reason": "AllUp", "message": ""}
        ],
        "targets": {"pods": 3, "active": 2, "up": 1, "down": 1, "dropped": 0},
        "summary": "1/2",
        "lastScrapeTime": "2026-01-02T12:00:00Z",
        "failures": [{"pod": "a", "profile": "memory", "reason": "Timeout", "message": ""}],
    }


def test_long_texts_are_cut_instead_of_refused() -> None:
    assert len(condition(message="x" * 5000).message) == 1024
    failure = Failure(pod="p" * 300, reason="Timeout", message="y" * 5000)
    assert (len(failure.pod or ""), len(failure.message), failure.message[-1]) == (253, 256, "…")


@pytest.mark.parametrize("fields", [{"status": "true"}, {"reason": "not camel"}, {"last_transition_time": datetime(2026, 1, 1)}])
def test_invalid_condition(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        condition(**fields)


def test_conditions_are_unique_by_type() -> None:
    with pytest.raises(ValueError, match="same type"):
        ScrapeStatus(conditions=(condition(), condition()))
