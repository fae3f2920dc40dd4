"""What follows when a target has not accepted the credentials of an object."""

from __future__ import annotations

from collections.abc import Callable

from pyroscope_operator.engine.access import references
from pyroscope_operator.engine.secrets import Secrets
from pyroscope_operator.engine.store import Store
from pyroscope_operator.model.ref import ObjectRef


def reread(store: Store, secrets: Secrets) -> Callable[[ObjectRef], None]:
    """Has the Secrets of an object read early: they may have been rotated just now."""

    def unauthorized(source: ObjectRef) -> None:
        found = store.objects.get(source)
        if found is not None and found.spec is not None:
            secrets.hasten(references(found.spec, source.namespace))

    return unauthorized
