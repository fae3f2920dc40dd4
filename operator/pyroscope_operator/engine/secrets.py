"""What is known of the Secrets and ConfigMaps that objects refer to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pyroscope_operator.model.data import DataRef


class DataSource(Protocol):
    """Reads Secrets and ConfigMaps: from the API server, or from folders."""

    async def read(self, ref: DataRef) -> Mapping[str, bytes] | None:
        """Its data; None where it does not exist. Raises OperatorError when nobody can tell."""


class Secrets:
    """A cache with a bounded age, of what is referred to and nothing else."""

    async def ensure(self, refs: Iterable[DataRef]) -> None:
        """These are all that is needed; returns when each of them was read once, or could not be."""
        raise NotImplementedError

    def lookup(self, ref: DataRef) -> Mapping[str, bytes]:
        """The data as last read. Raises ReferenceProblem."""
        raise NotImplementedError

    async def reread(self, refs: Iterable[DataRef]) -> bool:
        """Read these now, unless it was just done; tells whether any has changed."""
        raise NotImplementedError
