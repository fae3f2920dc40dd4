"""The kinds of this API group, and what is different about each."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from pyroscope_operator.api import scrape, write
from pyroscope_operator.api.base import ApiModel
from pyroscope_operator.api.scrape import PyroscopeScrape, PyroscopeScrapeSpec
from pyroscope_operator.api.status import ScrapeStatus, WriteStatus
from pyroscope_operator.api.write import PyroscopeWrite, PyroscopeWriteSpec


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    path: str
    text: str = ""
    type: str = "string"
    wide: bool = False
    """Shown with `-o wide` only."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of objects."""

    name: str
    plural: str
    """As in the API's paths."""
    short: str
    model: type[PyroscopeScrape | PyroscopeWrite]
    spec: type[ApiModel]
    status: type[ApiModel]
    columns: tuple[Column, ...]

    def __str__(self) -> str:
        return self.name


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


_READY = Column("Ready", _condition("Ready", "status"), "Whether everything works")
_DELIVERING = Column("Delivering", _condition("Delivering", "status"), "Whether profiles reach Pyroscope")
_END = (
    Column("Reason", _condition("Ready", "reason"), "Why it is ready or not", wide=True),
    Column("Message", _condition("Ready", "message"), "Why it is ready or not, for people", wide=True),
    Column("Age", ".metadata.creationTimestamp", type="date"),
)

SCRAPE = Kind(
    scrape.KIND,
    scrape.PLURAL,
    "pyscrape",
    PyroscopeScrape,
    PyroscopeScrapeSpec,
    ScrapeStatus,
    (
        _READY,
        Column("Targets", ".status.summary", "Targets that are up out of all active ones"),
        _DELIVERING,
        Column("Interval", ".spec.interval", "Time between two scrapes of a target", wide=True),
        *_END,
    ),
)
WRITE = Kind(
    write.KIND,
    write.PLURAL,
    "pywrite",
    PyroscopeWrite,
    PyroscopeWriteSpec,
    WriteStatus,
    (_READY, Column("Endpoints", ".status.summary", "Endpoints that do not fail out of all"), _DELIVERING, *_END),
)
KINDS = (SCRAPE, WRITE)


def kind_named(name: Any) -> Kind | None:
    """The kind of this very name."""
    return next((kind for kind in KINDS if kind.name == name), None)


def kind_meant(name: Any) -> Kind | None:
    """The kind of this name, or of one that is nearly the same."""
    if not isinstance(name, str):
        return None
    by_name = {kind.name.lower(): kind for kind in KINDS}
    alike = difflib.get_close_matches(name[:63].lower(), by_name, n=1, cutoff=0.9)
    return by_name[alike[0]] if alike else None
