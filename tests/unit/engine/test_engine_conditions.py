"""The contract is section 2 "Status" of the design: conditions, their reasons, and what Ready means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from builders import EPOCH, target
from engine_builder import DOWN, UNTRIED, UP, duplicate, loop, pending, planned, portless, relabeled, seen

from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.engine.conditions import Observation, aspects
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.model.target import STATIC, Target
from pyroscope_operator.push.delivery import PUSH_FAILING, QUEUE_FULL, Delivery, Trouble
from pyroscope_operator.scrape.pool import LoopState

SICK = target("web-1", healthy=False)
FIXED = target("", pod_uid=STATIC, container="", address="db:6060")
DELIVERED = Delivery(last_push=EPOCH)
FAILING = Delivery(last_push=EPOCH, waiting="default: Unreachable: connection refused")
NEVER_PUSHED = Delivery(waiting="default: Unauthorized: HTTP 401")
RECOVERED = Delivery(last_push=EPOCH, dropped=3)
REFUSED = Trouble(PUSH_FAILING, "default: Rejected: HTTP 400, invalid_argument")
LOST = Trouble(QUEUE_FULL, "default: QueueFull: no room, the oldest went")


def troubled(trouble: Trouble, *loops: LoopState, **fields: Any) -> Delivery:
    """Others are taken, but the last profile of these was not."""
    return Delivery(**{"last_push": EPOCH, "troubles": tuple((s.scrape.labels, trouble) for s in loops), "dropped": 9, **fields})


@dataclass(frozen=True)
class Case:
    name: str
    given: Observation
    ready: str
    discovered: str = "True TargetsFound"
    scraping: str = "True AllUp"
    delivering: str = "True Delivered"
    accepted: str = "True Accepted"
    """Each: status and reason."""

    def __str__(self) -> str:
        return self.name


def refused(reason: str) -> Case:
    given = seen(verdict=Verdict(reason, "because"), plan=None)
    unknown = "Unknown NotAccepted"
    return Case(reason, given, f"False {reason}", unknown, unknown, unknown, accepted=f"False {reason}")


HEALTHY = [
    Case("all up", seen(loop(), loop(kind="mutex"), delivery=DELIVERED), "True AllUp"),
    Case("nothing pushed yet", seen(loop()), "True AllUp", delivering="Unknown NothingPushed"),
    Case("delivery has recovered", seen(loop(), delivery=RECOVERED), "True AllUp"),
    Case(
        "the series in trouble is no longer scraped",
        seen(loop(), delivery=troubled(REFUSED, loop(kind="mutex"), loop(of="web-9"))),
        "True AllUp",
    ),
    Case("static target", seen(loop(of=FIXED), delivery=DELIVERED), "True AllUp"),
    Case(
        "one target up, one down",
        seen(loop(), loop(DOWN, "web-1"), delivery=DELIVERED),
        "True TargetsDown",
        scraping="False TargetsDown",
    ),
    Case(
        "an unhealthy pod is down",
        seen(loop(), loop(DOWN, SICK), delivery=DELIVERED),
        "True TargetsDown",
        scraping="False TargetsDown",
    ),
    Case(
        "an unhealthy pod was not tried yet: nobody waits for it",
        seen(loop(), loop(UNTRIED, SICK), delivery=DELIVERED),
        "True Pending",
        scraping="Unknown Pending",
    ),
    Case(
        "one pod has no port",
        seen(loop(), plan=planned([loop()], pods=2, healthy=2, drops=[portless()]), delivery=DELIVERED),
        "True PortNotFound",
        discovered="False PortNotFound",
    ),
    Case(
        "one scrape is left to another object",
        seen(loop(), plan=planned([loop()], duplicates=[duplicate()]), delivery=DELIVERED),
        "True Duplicate",
        discovered="False Duplicate",
    ),
    Case(
        "relabelings drop one target",
        seen(loop(), plan=planned([loop()], pods=2, healthy=2, drops=[relabeled()]), delivery=DELIVERED),
        "True AllUp",
    ),
    Case(
        "one pod is not annotated, one has opted out",
        seen(
            loop(),
            plan=planned([loop()], pods=3, healthy=3, drops=[relabeled(reason="NotAnnotated"), relabeled(reason="OptedOut")]),
            delivery=DELIVERED,
        ),
        "True AllUp",
    ),
    Case(
        "one annotation is wrong",
        seen(loop(), plan=planned([loop()], pods=1, drops=[relabeled(reason="InvalidAnnotation")]), delivery=DELIVERED),
        "True InvalidAnnotation",
        discovered="False InvalidAnnotation",
    ),
    Case(
        "relabelings make one target that can't be scraped",
        seen(loop(), plan=planned([loop()], pods=2, healthy=2, drops=[relabeled(reason="InvalidTarget")]), delivery=DELIVERED),
        "True InvalidTarget",
        discovered="False InvalidTarget",
    ),
    Case(
        "one target is not sampled",
        seen(loop(), plan=planned([loop()], pods=2, healthy=2, drops=[relabeled(reason="NotSampled")]), delivery=DELIVERED),
        "True AllUp",
    ),
    Case(
        "one target is above a limit",
        seen(loop(), plan=planned([loop()], pods=2, healthy=2, drops=[relabeled(reason="LimitExceeded")]), delivery=DELIVERED),
        "True LimitExceeded",
        discovered="False LimitExceeded",
    ),
    Case(
        "one pod is not running yet",
        seen(loop(), plan=planned([loop()], pods=2, healthy=1, drops=[pending()]), delivery=DELIVERED),
        "True AllUp",
    ),
]
NOTHING_WANTED = [
    Case(
        "relabelings drop all targets",
        seen(plan=ObjectPlan(pods=2, healthy_pods=2, drops=[relabeled(), relabeled("web-8")])),
        "True NoTargets",
        scraping="Unknown NoTargets",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "no pod is annotated",
        seen(plan=ObjectPlan(pods=1, healthy_pods=1, drops=[relabeled(reason="NotAnnotated")])),
        "True NoTargets",
        scraping="Unknown NoTargets",
        delivering="Unknown NothingPushed",
    ),
    Case("no pod matched", seen(), "True NoPodsMatched", "False NoPodsMatched", "Unknown NoTargets", "Unknown NothingPushed"),
    Case(
        "no pod is running",
        seen(plan=ObjectPlan(pods=2, drops=[pending(), pending("web-9")])),
        "True NoPodHealthy",
        scraping="Unknown NoTargets",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "the only pod is not ready and down",
        seen(loop(DOWN, SICK)),
        "True NoPodHealthy",
        scraping="False TargetsDown",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "the only pod is not ready and has no port",
        seen(plan=ObjectPlan(pods=1, drops=[portless()])),
        "True NoPodHealthy",
        "False PortNotFound",
        "Unknown NoTargets",
        "Unknown NothingPushed",
    ),
    Case(
        "no profile type is enabled",
        seen(plan=ObjectPlan(pods=1, healthy_pods=1, targets=[target()])),
        "True NoTargets",
        scraping="Unknown NoTargets",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "no profile type is enabled for a static target",
        seen(plan=ObjectPlan(targets=[FIXED])),
        "True NoTargets",
        scraping="Unknown NoTargets",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "suspended",
        seen(plan=None),
        "True Suspended",
        "Unknown Suspended",
        "Unknown Suspended",
        "Unknown Suspended",
    ),
    Case(
        "suspended after profiles were delivered",
        seen(plan=None, delivery=DELIVERED),
        "True Suspended",
        "Unknown Suspended",
        "Unknown Suspended",
    ),
]
NOTHING_WANTED += [
    Case(
        "suspended while Pyroscope is away",
        seen(plan=None, delivery=NEVER_PUSHED),
        "True Suspended",
        "Unknown Suspended",
        "Unknown Suspended",
        "Unknown Suspended",
    ),
]
NOT_READY = [
    refused("InvalidSpec"),
    refused("NamespaceNotAllowed"),
    Case(
        "nothing tried yet",
        seen(loop(UNTRIED), loop(UNTRIED, kind="mutex")),
        "False Pending",
        scraping="Unknown Pending",
        delivering="Unknown NothingPushed",
    ),
    Case(
        "one profile type was not tried yet",
        seen(loop(), loop(UNTRIED, kind="mutex"), delivery=DELIVERED),
        "False Pending",
        scraping="Unknown Pending",
    ),
    Case(
        "one pod was not tried yet",
        seen(loop(), loop(UNTRIED, "web-1"), delivery=DELIVERED),
        "False Pending",
        scraping="Unknown Pending",
    ),
    Case(
        "one failed, one was not tried yet",
        seen(loop(DOWN), loop(UNTRIED, "web-1"), delivery=DELIVERED),
        "False Pending",
        scraping="False TargetsDown",
    ),
    Case(
        "all down",
        seen(loop(DOWN), loop(DOWN, "web-1"), delivery=DELIVERED),
        "False TargetsDown",
        scraping="False TargetsDown",
    ),
    Case(
        "a target with one failing profile type is down",
        seen(loop(DOWN), loop(UP, kind="mutex"), delivery=DELIVERED),
        "False TargetsDown",
        scraping="False TargetsDown",
    ),
    Case(
        "no healthy pod has the port",
        seen(plan=ObjectPlan(pods=2, healthy_pods=1, drops=[portless(), pending()])),
        "False PortNotFound",
        "False PortNotFound",
        "Unknown NoTargets",
        "Unknown NothingPushed",
    ),
    Case(
        "everything is left to another object",
        seen(plan=planned(pods=1, healthy=1, targets=[target()], duplicates=[duplicate()])),
        "False Duplicate",
        "False Duplicate",
        "Unknown NoTargets",
        "Unknown NothingPushed",
    ),
    Case(
        "everything is left to another object, static target",
        seen(plan=ObjectPlan(targets=[FIXED], duplicates=[duplicate(FIXED)])),
        "False Duplicate",
        "False Duplicate",
        "Unknown NoTargets",
        "Unknown NothingPushed",
    ),
    Case("push failing", seen(loop(), delivery=FAILING), "False PushFailing", delivering="False PushFailing"),
    Case("never pushed", seen(loop(), delivery=NEVER_PUSHED), "False PushFailing", delivering="False PushFailing"),
    Case(
        "queue full",
        seen(loop(), delivery=troubled(LOST, loop(), waiting="default: Unreachable: connection refused")),
        "False QueueFull",
        delivering="False QueueFull",
    ),
    Case(
        "profiles were lost, and others are taken again",
        seen(loop(), loop(kind="mutex"), delivery=troubled(LOST, loop())),
        "False QueueFull",
        delivering="False QueueFull",
    ),
    Case(
        "one profile type is refused for ever",
        seen(loop(), loop(kind="mutex"), delivery=troubled(REFUSED, loop())),
        "False PushFailing",
        delivering="False PushFailing",
    ),
    Case(
        "push failing and all down",
        seen(loop(DOWN), delivery=FAILING),
        "False PushFailing",
        scraping="False TargetsDown",
        delivering="False PushFailing",
    ),
    Case(
        "a bug",
        seen(plan=ObjectPlan(bug=ValueError("secret"))),
        "False InternalError",
        "False InternalError",
        "Unknown NoTargets",
        "Unknown NothingPushed",
    ),
]


@pytest.mark.parametrize("case", HEALTHY + NOTHING_WANTED + NOT_READY, ids=str)
def test_conditions(case: Case) -> None:
    found = aspects(case.given)
    assert {kind: f"{aspect.status} {aspect.reason}" for kind, aspect in found.items()} == {
        "Ready": case.ready,
        "Accepted": case.accepted,
        "Discovered": case.discovered,
        "Scraping": case.scraping,
        "Delivering": case.delivering,
    }
    assert next(iter(found)) == "Ready"
    assert all(aspect.message for aspect in found.values())


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            seen(plan=ObjectPlan(pods=3, healthy_pods=3, drops=[pending(), portless(), portless("web-7")])),
            "Discovered",
            "targets dropped: 2 of 3; web-9: no container port named pprof: set spec.port",
        ),
        (
            seen(plan=ObjectPlan(pods=1, duplicates=[duplicate(), duplicate(kind="mutex"), duplicate(kind="block")])),
            "Discovered",
            "memory of web-0 is scraped by other/winner (and 2 more)",
        ),
        (
            seen(plan=ObjectPlan(targets=[FIXED], duplicates=[duplicate(FIXED)])),
            "Discovered",
            "memory of db:6060 is scraped by other/winner",
        ),
        (
            seen(loop(), plan=planned([loop()], pods=2, drops=[pending()])),
            "Discovered",
            "targets: 1, selected pods: 2, not running: 1",
        ),
        (
            seen(loop(), plan=planned([loop()], pods=4, drops=[relabeled(reason="NotSampled")] * 3)),
            "Discovered",
            "targets: 1, selected pods: 4, not sampled: 3",
        ),
        (
            seen(plan=ObjectPlan(pods=1, healthy_pods=1, drops=[relabeled(reason="NotSampled")])),
            "Ready",
            "there is nothing to scrape: not sampled: 1",
        ),
        (
            seen(loop(), plan=planned([loop()], pods=4, drops=[relabeled(reason="LimitExceeded")] * 3)),
            "Discovered",
            "targets dropped: 3 of 4; web-9: because",
        ),
        (
            seen(loop(), plan=planned([loop()], pods=4, drops=[relabeled(), pending(), relabeled("web-8")])),
            "Discovered",
            "targets: 1, selected pods: 4, not running: 1, dropped by relabelings: 2",
        ),
        (
            seen(plan=ObjectPlan(pods=1, healthy_pods=1, drops=[relabeled()])),
            "Ready",
            "there is nothing to scrape: dropped by relabelings: 1",
        ),
        (
            seen(plan=ObjectPlan(1, 1, drops=[relabeled(reason="NotAnnotated")] * 2 + [relabeled(reason="OptedOut")])),
            "Ready",
            "there is nothing to scrape: not annotated: 2, opted out by annotations: 1",
        ),
        (
            seen(loop(), plan=planned([loop()], pods=2, drops=[relabeled(reason="NotAnnotated")])),
            "Discovered",
            "targets: 1, selected pods: 2, not annotated: 1",
        ),
        (
            seen(plan=ObjectPlan(drops=[relabeled("db:6060", "LimitExceeded")])),
            "Ready",
            "targets dropped: 1 of 1; db:6060: because",
        ),
        (
            seen(loop(), loop(DOWN, "web-1"), loop(DOWN, "web-1", "mutex")),
            "Scraping",
            "targets down: 1 of 2; memory of web-1: HTTPStatus, answered 404",
        ),
        (seen(loop(), loop(UNTRIED, "web-1")), "Ready", "1 of 2 scrapes have been tried"),
        (seen(loop(), delivery=FAILING), "Ready", "default: Unreachable: connection refused"),
        (
            seen(loop(of="web-1"), loop(), loop(kind="mutex"), delivery=troubled(REFUSED, loop(of="web-1"), loop())),
            "Delivering",
            "series in trouble: 2 of 3; memory of web-0: default: Rejected: HTTP 400, invalid_argument",
        ),
        (
            seen(loop(), delivery=troubled(LOST, loop(), waiting="default: Unreachable: connection refused")),
            "Delivering",
            "default: Unreachable: connection refused; the queue is full, the oldest profiles are lost",
        ),
        (seen(plan=ObjectPlan(bug=ValueError("secret"))), "Discovered", "a bug of the operator (ValueError), see its log"),
    ],
)
def test_messages(given: Observation, kind: str, message: str) -> None:
    assert aspects(given)[kind].message == message


@pytest.mark.parametrize(
    ("given", "up", "down"),
    [
        (seen(), 0, 0),
        (seen(loop(UNTRIED)), 0, 0),
        (seen(loop(), loop(kind="mutex"), loop(of="web-1")), 2, 0),
        (seen(loop(), loop(UNTRIED, kind="mutex")), 1, 0),
        (seen(loop(), loop(DOWN, kind="mutex"), loop(of="web-1"), loop(DOWN, FIXED)), 1, 2),
    ],
)
def test_targets_are_counted_and_not_scrapes(given: Observation, up: int, down: int) -> None:
    assert (given.up, given.down) == (up, down)


def test_failures_are_in_an_order_that_stays() -> None:
    def at(name: str, namespace: str = "shop", container: str = "app") -> Target:
        return target(name, namespace=namespace, container=container, pod_uid=f"{namespace}{name}")

    ordered = [
        loop(DOWN, FIXED),
        loop(DOWN, at("web-0"), "block"),
        loop(DOWN, at("web-0"), "memory"),
        loop(DOWN, at("web-0", container="z"), "block"),
        loop(DOWN, at("web-0", "zoo"), "block"),
        loop(DOWN, at("web-1"), "block"),
    ]
    for shuffled in (ordered, ordered[::-1], [*ordered[3:], loop(of="web-2"), *ordered[:3]]):
        assert seen(*shuffled).failed == ordered


def test_a_series_in_trouble_at_two_endpoints_counts_once() -> None:
    """And the first of them is told."""
    here, mutex = loop(), loop(kind="mutex")
    labels = here.scrape.labels
    both = ((labels, Trouble(PUSH_FAILING, "shop/a/x: Rejected")), (labels, Trouble(PUSH_FAILING, "shop/a/y: Rejected")))
    found = aspects(seen(here, mutex, delivery=Delivery(last_push=EPOCH, troubles=both)))["Delivering"]
    assert found.status == "False"
    assert "series in trouble: 1 of 2" in found.message
    assert "shop/a/x: Rejected" in found.message
