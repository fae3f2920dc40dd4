"""What is looked at each second to see whether a status has news must not overlook any."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from builders import EPOCH
from engine_builder import ACCEPTED, DOWN, UNTRIED, UP, duplicate, loop, pending, planned, portless, seen

from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.report import report, settled
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.engine.write_conditions import WriteObservation
from pyroscope_operator.errors import FetchError
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.delivery import Delivery, Trouble
from pyroscope_operator.push.endpoint import EndpointKey
from pyroscope_operator.push.writer import WriterSnapshot

MAIN = ObjectRef("shop", "main")
_LATER = UP.succeeded(EPOCH + 15, EPOCH + 16, 2000)
_LABELS = loop().scrape.labels
_FARES = (
    Delivery(),
    Delivery(last_push=EPOCH),
    Delivery(last_push=EPOCH, waiting="main: Unreachable"),
    Delivery(troubles=((_LABELS, Trouble("PushFailing", "a")),)),
    Delivery(troubles=((_LABELS, Trouble("QueueFull", "a")),)),
    Delivery(troubles=((_LABELS, Trouble("QueueFull", "b")),)),
    Delivery(troubles=((Labels({"other": "series"}), Trouble("QueueFull", "b")),)),
)
_HEALTHS = (
    UNTRIED,
    UP,
    DOWN,
    UP.failed(EPOCH, EPOCH + 1, FetchError("HTTPStatus", "answered 500")),
    UP.failed(EPOCH, EPOCH + 1, FetchError("Timeout", "answered 404")),
)
_SEEN = (
    *(seen(loop(health)) for health in _HEALTHS),
    *(seen(loop(), delivery=fares) for fares in _FARES),
    *(seen(loop(), loop(health, "web-1")) for health in _HEALTHS),
    *(seen(loop(), loop(health, kind="goroutine")) for health in _HEALTHS),
    seen(loop(), generation=4),
    seen(loop(), plan=planned([loop()], pods=2, drops=[portless()])),
    seen(loop(), plan=planned([loop()], pods=2, drops=[pending()])),
    seen(loop(), plan=planned([loop()], duplicates=[duplicate()])),
    seen(plan=planned(bug=ValueError())),
    seen(plan=None),
    seen(plan=None, verdict=Verdict("InvalidSpec", "because")),
    seen(plan=None, verdict=Verdict("InvalidSpec", "for another reason")),
)


def test_no_news_is_overlooked() -> None:
    for one, other in combinations(_SEEN, 2):
        before = report(one, {}, EPOCH).manifest()
        if not settled(before, report(other, before, EPOCH).manifest()):
            assert one.gist != other.gist, (one, other)


def test_times_and_figures_are_no_news() -> None:
    first = seen(loop(), loop(DOWN, "web-1"), delivery=Delivery(last_push=EPOCH))
    down = DOWN.failed(EPOCH + 15, EPOCH + 16, FetchError(DOWN.reason, DOWN.message))
    loops = [
        state._replace(health=health, next_scrape=EPOCH + 30) for state, health in zip(first.loops, (_LATER, down), strict=True)
    ]
    later = Observation(first.generation, first.verdict, first.plan, loops, Delivery(last_push=EPOCH + 15, dropped=3))
    assert first.gist == later.gist


def test_of_a_write() -> None:
    one = WriterSnapshot(EndpointKey(MAIN, "eu"), 5, 1, 2, 3, 400, False, None, "Unreachable", "long ago", EPOCH)
    failing = replace(one, failing_since=EPOCH)
    shots = (
        *(one, failing, replace(failing, last_error_message="now"), replace(failing, last_error_reason="ServerError")),
        *(replace(one, overflowing=True), replace(one, last_success=None), replace(one, key=EndpointKey(MAIN, "us"))),
    )
    found = [WriteObservation(1, ACCEPTED, (shot,)) for shot in shots]
    found += [WriteObservation(2, ACCEPTED, (one,)), WriteObservation(1, Verdict("InvalidSpec", "x"), (one,))]
    for first, other in combinations(found, 2):
        before = report(first, {}, EPOCH).manifest()
        assert not settled(before, report(other, before, EPOCH).manifest())
        assert first.gist != other.gist
    figures = replace(one, sent=9, dropped=9, retried=9, queue_profiles=9, queue_bytes=9, last_success=EPOCH + 9)
    assert WriteObservation(1, ACCEPTED, (figures,)).gist == found[0].gist
