"""Who does the work on profiles: the native core, or the oracle where it was not built."""

from __future__ import annotations

from typing import Protocol


class Core(Protocol):
    """What takes the differences of a series; `DeltaComputer` tells what the methods do."""

    @property
    def size(self) -> int: ...

    def reset(self) -> None: ...

    def difference(self, body: bytes, limit: int) -> tuple[bytes, int] | None: ...


class NewCore(Protocol):
    def __call__(self, seed: bytes) -> Core: ...


class Inspect(Protocol):
    """Checks that `body` (gzip or raw protobuf) is a profile of at most `limit` bytes uncompressed.

    Gives its size in bytes uncompressed, the number of its samples, whether it has a period
    type, and whether `body` is one gzip member and nothing else.

    Raises `ProfileError`: BodyTooLarge, BrokenGzip, EmptyBody, NotAProfile, TooComplex.
    """

    def __call__(self, body: bytes, limit: int) -> tuple[int, int, bool, bool]: ...


new_core: NewCore
inspect: Inspect
try:
    from pyroscope_operator.pprof import _native
except ImportError:
    # Here only, because it brings protobuf's runtime along, which takes 2 MB.
    from pyroscope_operator.pprof import oracle

    IS_NATIVE = False
    new_core, inspect = oracle.OracleComputer, oracle.inspect
else:
    IS_NATIVE = True
    new_core, inspect = _native.Computer, _native.inspect
