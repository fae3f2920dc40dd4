"""PyroscopeWrites from few words, what they refer to, and the fan-out that writes to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import httpx
from builders import CREATED

from pyroscope_operator.engine.access import ReferenceProblem
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store, WriteObject
from pyroscope_operator.engine.writes import Writes
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.data import DataRef
from pyroscope_operator.push.delivery import DeliveryBook
from pyroscope_operator.push.endpoint import WriteEndpoint
from pyroscope_operator.push.fanout import Fanout

PYROSCOPE = WriteEndpoint("http://pyroscope:4040")
"""That of the operator's flags."""


def write_manifest(
    *endpoints: dict[str, Any] | str, name: str = "main", namespace: str = "shop", meta: dict[str, Any] | None = None, **spec: Any
) -> dict[str, Any]:
    """A PyroscopeWrite as the API server sends it; an endpoint is told by its name, or by its fields. Without any: one."""
    made = [{"name": e, "url": f"http://{e}:4040"} if isinstance(e, str) else e for e in endpoints or ("eu",)]
    known = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": CREATED}
    return {
        "apiVersion": "pyroscope-operator.dev/v1alpha1",
        "kind": "PyroscopeWrite",
        "metadata": {**known, **(meta or {})},
        "spec": {"endpoints": made, **spec},
    }


def write(*endpoints: dict[str, Any] | str, **fields: Any) -> WriteObject:
    """The same as the store has it."""
    return WriteObject.from_manifest(write_manifest(*endpoints, **fields))


class FakeSecrets(Secrets):
    """Secrets by name, each with a token; `arriving` are there from the next early look on."""

    def __init__(self, **tokens: str) -> None:
        self.tokens = tokens
        self.arriving: dict[str, str] = {}
        self.needed: frozenset[DataRef] = frozenset()
        self.looks = 0

    async def ensure(self, refs: Iterable[DataRef]) -> None:
        self.needed = frozenset(refs)

    def lookup(self, ref: DataRef) -> Mapping[str, bytes]:
        if ref.name not in self.tokens:
            raise ReferenceProblem("SecretNotFound", f"there is no {ref}")
        return {"token": self.tokens[ref.name].encode()}

    async def reread(self, refs: Iterable[DataRef]) -> bool:
        assert frozenset(refs) <= self.needed
        self.looks += 1
        changed = {**self.tokens, **self.arriving} != self.tokens
        self.tokens |= self.arriving
        return changed


def no_fanout(metrics: Metrics, book: DeliveryBook) -> Fanout:
    """One that reaches nobody."""
    return Fanout(lambda _: httpx.MockTransport(lambda _: httpx.Response(503)), metrics, book)


def writes(store: Store, fanout: Any, secrets: Secrets, flags: WriteEndpoint | None = PYROSCOPE) -> Writes:
    return Writes(store, cast("Fanout", fanout), secrets, flags)
