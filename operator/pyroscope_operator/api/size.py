"""Sizes in bytes, as fields of the API hold them: `16MiB`."""

from __future__ import annotations

import re
from decimal import Decimal

from pyroscope_operator.api.formats import SIZE

_WHOLE = re.compile(SIZE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def parse(text: str) -> int:
    """`text` in bytes, rounded down. Raises ValueError when it is not a size.

    `KB` and `KiB` both are 1024 bytes, as in Prometheus, whose syntax this is.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError("not a size such as 512KiB or 16MiB")
    number = text.rstrip("BiKMGTPE")
    unit = text[len(number) :].rstrip("B").rstrip("i")
    return int(Decimal(number) * 1024 ** _POWERS[unit])
