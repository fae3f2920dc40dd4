"""States of loops and what is seen of an object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from builders import EPOCH, pod, request, scrape, target

from pyroscope_operator.discovery.claim import Duplicate
from pyroscope_operator.discovery.plan import ObjectPlan
from pyroscope_operator.discovery.pod import Pod
from pyroscope_operator.discovery.targets import Drop
from pyroscope_operator.engine import snapshot
from pyroscope_operator.engine.conditions import Observation
from pyroscope_operator.engine.engine import Engine
from pyroscope_operator.engine.overview import encoded, whole
from pyroscope_operator.engine.verdict import Verdict
from pyroscope_operator.errors import FetchError
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.model.target import Scrape, Target
from pyroscope_operator.scrape.health import Health
from pyroscope_operator.scrape.pool import LoopState

ACCEPTED = Verdict("Accepted", "the object is valid")
UNTRIED = Health()
UP = Health().succeeded(EPOCH, EPOCH + 0.25, 1000)
DOWN = Health().failed(EPOCH, EPOCH + 1, FetchError("HTTPStatus", "answered 404"))


def loop(health: Health = UP, of: str | Target = "web-0", kind: str = "memory", **fields: Any) -> LoopState:
    """The loop of one profile type of a target, which is told by its pod."""
    found = of if isinstance(of, Target) else target(of, **fields)
    return LoopState(scrape(found, request(kind)), health, EPOCH + 15)


def planned(loops: Iterable[LoopState] = (), pods: int | None = None, healthy: int | None = None, **fields: Any) -> ObjectPlan:
    """The plan that leads to `loops`; one ready pod for each pod target, unless told otherwise."""
    scrapes = [state.scrape for state in loops]
    targets = list({s.target.key: s.target for s in scrapes}.values())
    ready = [t for t in targets if t.pod and t.healthy]
    count = sum(bool(t.pod) for t in targets) if pods is None else pods
    return ObjectPlan(
        pods=count, healthy_pods=len(ready) if healthy is None else healthy, **{"targets": targets, "scrapes": scrapes, **fields}
    )


def seen(*loops: LoopState, **fields: Any) -> Observation:
    """An accepted object with these loops."""
    known: dict[str, Any] = {"generation": 3, "verdict": ACCEPTED, "plan": planned(loops), "loops": loops}
    return Observation(**{**known, **fields})


def portless(name: str = "web-9") -> Drop:
    return Drop(ObjectRef("shop", name), "PortNotFound", "no container port named pprof: set spec.port")


def relabeled(name: str = "web-9", reason: str = "Relabeled") -> Drop:
    return Drop(ObjectRef("shop", name), reason, "because")


def pending(name: str = "web-8") -> Drop:
    return Drop(ObjectRef("shop", name), "NotRunning", "phase Pending, no IP")


def duplicate(of: Target | None = None, kind: str = "memory") -> Duplicate:
    mine = scrape(of or target(), request(kind))
    theirs: Scrape = scrape(of or target(), request(kind), source=ObjectRef("other", "winner"))
    return Duplicate(mine, theirs)


def ready_pods(*names: str) -> list[Pod]:
    return [pod(name, ip=f"10.0.0.{number}") for number, name in enumerate(names, 1)]


async def overview(engine: Engine) -> dict[str, Any]:
    """What the engine knows, as whoever asks over HTTP reads it."""
    taken = await snapshot.take(engine)
    read: dict[str, Any] = json.loads("".join(encoded(whole(taken), taken)))
    return read
