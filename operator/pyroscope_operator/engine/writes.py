"""From PyroscopeWrites to the endpoints that are written to."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pyroscope_operator.api import duration
from pyroscope_operator.api.write import Endpoint, PyroscopeWriteSpec
from pyroscope_operator.engine.access import ReferenceProblem, Resolver, references
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store, WriteObject
from pyroscope_operator.engine.verdict import ACCEPTED, Verdict, invalid
from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS, WriteEndpoint
from pyroscope_operator.push.fanout import Fanout

_LOG = logging.getLogger(__name__)

MAX_ENDPOINTS = 200
"""Endpoints of all writes together: each has a worker and a queue."""

Endpoints = tuple[WriteEndpoint, ...]


@dataclass(frozen=True, slots=True)
class WriteDecision:
    """What is thought of the writes, and what runs."""

    generations: dict[ObjectRef, int] = field(default_factory=dict)
    verdicts: dict[ObjectRef, Verdict] = field(default_factory=dict)
    endpoints: dict[ObjectRef, Endpoints] = field(default_factory=dict)
    """Of accepted writes, and of those that were accepted before as they were then."""
    uids: dict[ObjectRef, str] = field(default_factory=dict)
    """Of the objects in `endpoints`: a namesake inherits nothing."""


class Writes:
    """Brings the fan-out in step with the PyroscopeWrites, and with what they refer to."""

    def __init__(self, store: Store, fanout: Fanout, secrets: Secrets, flags: WriteEndpoint | None) -> None:
        """`flags` is the endpoint that the operator's flags describe, if they do."""
        self._store = store
        self._fanout = fanout
        self._secrets = secrets
        self._flags = flags
        self._running = WriteDecision()
        self._resolver = Resolver(secrets.lookup)
        fanout.renew = self.renew

    def references(self, *, failing: WriteDecision | None = None) -> frozenset[DataRef]:
        """What the writes refer to; with `failing`, only those that are not accepted there."""
        found = self._store.writes.items()
        writes = [write for ref, write in found if failing is None or not failing.verdicts[ref].accepted]
        return frozenset(ref for write in writes for ref in _references(write))

    def decide(self) -> WriteDecision:
        """Pure but for reading the store and the Secrets."""
        decision = decide(self._store.writes, self._resolver, self._running)
        self._resolver.forget({(ref, one.name) for ref, endpoints in decision.endpoints.items() for one in endpoints})
        return decision

    def sync(self, decision: WriteDecision) -> None:
        """Let the fan-out write as it was decided."""
        self._running = decision
        default: dict[ObjectRef, Endpoints] = {FLAGS: (self._flags,)} if self._flags else {}
        self._fanout.sync(default | decision.endpoints)
        self._fanout.forget(self._store.writes.keys())

    async def renew(self, write: ObjectRef) -> None:
        """Read the Secrets of a write now; if one has changed, it is used when this returns."""
        found = self._store.writes.get(write)
        wanted = _references(found) if found else frozenset()
        if wanted and await self._secrets.reread(wanted):
            self.sync(self.decide())
            self._store.changed.set()


def decide(objects: Mapping[ObjectRef, WriteObject], resolver: Resolver, running: WriteDecision) -> WriteDecision:
    """What becomes of the writes; `running` is what was decided last.

    A write that is accepted no longer goes on as it was.  Of more than `MAX_ENDPOINTS`
    endpoints the older objects have the better claim, after those that run already.
    """
    kept = {ref: running.endpoints[ref] for ref, found in objects.items() if running.uids.get(ref) == found.uid}
    room = MAX_ENDPOINTS - sum(map(len, kept.values()))
    made = WriteDecision(generations={ref: found.generation for ref, found in objects.items()})
    for ref, found in sorted(objects.items(), key=lambda item: (item[1].created, item[0])):
        verdict, endpoints = judge_write(found, resolver)
        more = len(endpoints) - len(kept.get(ref, ()))
        if verdict.accepted and more > room:
            verdict = _too_many()
        if verdict.accepted:
            room -= more
            made.endpoints[ref] = endpoints
        elif ref in kept:
            made.endpoints[ref] = kept[ref]
            verdict = Verdict(verdict.reason, f"{verdict.message} (profiles are written as before)")
        made.verdicts[ref] = verdict
    made.uids.update({ref: objects[ref].uid for ref in made.endpoints})
    return made


def _too_many() -> Verdict:
    return Verdict("TooManyEndpoints", f"all PyroscopeWrites together have more than {MAX_ENDPOINTS} endpoints: remove some")


def judge_write(found: WriteObject, resolver: Resolver) -> tuple[Verdict, Endpoints]:
    """The verdict on one write, and its endpoints if it is accepted."""
    if found.spec is None:
        return invalid(found.problem.message if found.problem else "the object is invalid"), ()
    try:
        return ACCEPTED, endpoints_of(found.ref, found.spec, resolver)
    except ReferenceProblem as problem:
        return Verdict(problem.reason, problem.message), ()
    except SettingsError as error:
        return invalid(f"spec.endpoints: {error.message}"), ()
    except Exception as bug:  # on one object: it must not keep the others from what they want
        _LOG.error("%s is not accepted: a bug of the operator", found.ref, exc_info=bug, extra={"object": str(found.ref)})
        return Verdict("InternalError", f"a bug of the operator ({type(bug).__name__}), see its log"), ()


def endpoints_of(ref: ObjectRef, spec: PyroscopeWriteSpec, resolver: Resolver) -> Endpoints:
    """The endpoints of a write. Raises ReferenceProblem, and SettingsError for what no schema can see."""
    labels = Labels(spec.external_labels)
    return tuple(_endpoint(ref, f"spec.endpoints[{n}]", one, labels, resolver) for n, one in enumerate(spec.endpoints))


def _endpoint(ref: ObjectRef, path: str, given: Endpoint, labels: Labels, resolver: Resolver) -> WriteEndpoint:
    return WriteEndpoint(
        url=given.url,
        name=given.name,
        write=ref,
        tenant_id=given.tenant_id,
        access=replace(resolver.resolve((ref, given.name), given, ref.namespace, path=path), guarded=True),
        follow_redirects=given.follow_redirects,
        external_labels=labels,
        remote_timeout=duration.parse(given.remote_timeout),
        min_backoff=duration.parse(given.min_backoff),
        max_backoff=duration.parse(given.max_backoff),
        max_retries=given.max_retries,
        retry_on_429=given.retry_on_http429,
    )


def _references(found: WriteObject) -> frozenset[DataRef]:
    """What a write refers to."""
    endpoints = found.spec.endpoints if found.spec else ()
    return frozenset(ref for endpoint in endpoints for ref in references(endpoint, found.ref.namespace))
