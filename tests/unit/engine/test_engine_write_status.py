"""What a PyroscopeWrite is told: conditions, figures, and when they are worth a write."""

from __future__ import annotations

from typing import Any

import pytest
from builders import EPOCH

from pyroscope_operator.api.crd import model_schema
from pyroscope_operator.api.status import WriteStatus
from pyroscope_operator.engine.report import report, settled
from pyroscope_operator.engine.verdict import ACCEPTED, Verdict
from pyroscope_operator.engine.write_conditions import WriteObservation, write_aspects
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import EndpointKey
from pyroscope_operator.push.writer import WriterSnapshot

MAIN = ObjectRef("shop", "main")
BROKEN = Verdict("SecretNotFound", "spec.endpoints[0].bearerTokenSecret: there is none")


def snapshot(name: str = "eu", **fields: Any) -> WriterSnapshot:
    """An endpoint that takes everything."""
    known = {"sent": 5, "dropped": 0, "retried": 0, "queue_profiles": 0, "queue_bytes": 0, "overflowing": False}
    known |= {"failing_since": None, "last_error_reason": None, "last_error_message": None, "last_success": EPOCH}
    return WriterSnapshot(EndpointKey(MAIN, name), **{**known, **fields})  # type: ignore[arg-type]


DOWN = {"failing_since": EPOCH - 60, "last_error_reason": "Unreachable", "last_error_message": "connection refused"}
NEW = {"sent": 0, "last_success": None}


def seen(*endpoints: WriterSnapshot, verdict: Verdict = ACCEPTED) -> WriteObservation:
    return WriteObservation(3, verdict, endpoints)


@pytest.mark.parametrize(
    ("given", "ready", "delivering", "message"),
    [
        (seen(snapshot(), snapshot("us")), "True Delivered", "True Delivered", "profiles arrive"),
        (seen(snapshot(), snapshot("us", **NEW)), "True Delivered", "True Delivered", "profiles arrive"),
        (seen(snapshot(**NEW)), "True NothingPushed", "Unknown NothingPushed", "no profile has been pushed yet"),
        (
            seen(snapshot(), snapshot("us", **DOWN)),
            "False PushFailing",
            "False PushFailing",
            "endpoints failing: 1 of 2; us: Unreachable: connection refused",
        ),
        (
            seen(snapshot(**DOWN), snapshot("us", **DOWN, overflowing=True)),
            "False QueueFull",
            "False QueueFull",
            "endpoints failing: 2 of 2; us: Unreachable: connection refused; its queue is full, the oldest profiles are lost",
        ),
        (
            seen(snapshot(overflowing=True)),
            "False QueueFull",
            "False QueueFull",
            "endpoints failing: 1 of 1; eu: it is slow; its queue is full, the oldest profiles are lost",
        ),
        (seen(verdict=BROKEN), "False SecretNotFound", "Unknown NotAccepted", "nothing is written"),
        (seen(snapshot(), verdict=BROKEN), "False SecretNotFound", "True Delivered", "profiles arrive"),
    ],
)
def test_conditions(given: WriteObservation, ready: str, delivering: str, message: str) -> None:
    found = write_aspects(given)
    assert list(found) == ["Ready", "Accepted", "Delivering"]
    assert f"{found['Ready'].status} {found['Ready'].reason}" == ready
    assert f"{found['Delivering'].status} {found['Delivering'].reason}" == delivering
    assert message in found["Delivering"].message
    assert found["Accepted"].status == str(given.verdict.accepted)


def status(given: WriteObservation, before: dict[str, Any] | None = None, now: float = EPOCH) -> dict[str, Any]:
    return report(given, before or {}, now).manifest()


def test_a_whole_status() -> None:
    found = status(seen(snapshot(sent=7, retried=2), snapshot("us", **DOWN, queue_profiles=3, queue_bytes=900, **NEW)))
    assert {name: value for name, value in found.items() if name != "conditions"} == {
        "observedGeneration": 3,
        "summary": "1/2",
        "endpoints": [
            {
                **{"name": "eu", "sent": 7, "dropped": 0, "retried": 2, "queueProfiles": 0, "queueBytes": 0},
                "lastPushTime": "2027-01-15T08:00:00Z",
            },
            {
                **{"name": "us", "sent": 0, "dropped": 0, "retried": 0, "queueProfiles": 3, "queueBytes": 900},
                **{"failingSince": "2027-01-15T07:59:00Z", "reason": "Unreachable", "message": "connection refused"},
            },
        ],
    }
    assert {condition["observedGeneration"] for condition in found["conditions"]} == {3}


def test_errors_of_the_past_are_not_told() -> None:
    (endpoint,) = status(seen(snapshot(last_error_reason="Unreachable", last_error_message="x")))["endpoints"]
    assert not {"reason", "message", "failingSince"} & endpoint.keys()


def test_figures_and_times_alone_are_settled() -> None:
    written = status(seen(snapshot()))
    later = snapshot(sent=900, dropped=4, retried=3, queue_profiles=2, queue_bytes=5, last_success=EPOCH + 50)
    fresh = status(seen(later), written, EPOCH + 60)
    assert fresh != written
    assert settled(written, fresh)
    for changed in (seen(snapshot(**DOWN)), seen(snapshot(), snapshot("us")), seen(snapshot(), verdict=BROKEN)):
        assert not settled(written, status(changed, written, EPOCH + 60))


def test_transition_times_are_kept() -> None:
    written = status(seen(snapshot()))
    assert status(seen(snapshot()), written, EPOCH + 60)["conditions"] == written["conditions"]


def test_what_is_pending_after_a_restart() -> None:
    assert seen(snapshot(), snapshot("us", **NEW)).pending
    assert not seen(snapshot(), snapshot("us", **{**NEW, **DOWN})).pending
    assert not seen().pending


def test_it_fits_the_schema() -> None:
    long = snapshot(**{**DOWN, "last_error_message": "x" * 5000}, dropped=2**40)
    found = status(seen(long, *(snapshot(f"e{number}") for number in range(9))))
    fields = model_schema(WriteStatus)["properties"]
    assert found.keys() <= fields.keys()
    assert found["endpoints"][0].keys() <= fields["endpoints"]["items"]["properties"].keys()
    assert len(found["endpoints"][0]["message"]) <= fields["endpoints"]["items"]["properties"]["message"]["maxLength"]
