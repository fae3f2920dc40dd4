"""What the API already has and this release has not built.

The schema is set once, so that manifests stay valid. Until a feature is built, an
object that asks for it is told so (`Accepted` is False with the reason NotImplemented)
instead of being scraped in another way than it says.
"""

from __future__ import annotations

from typing import Any

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec

UNBUILT: tuple[str, ...] = (
    "annotations.mode",
    "annotations.prefix",
    "namespaceSelector.matchExpressions",
    "namespaceSelector.matchLabels",
)
"""Fields of a PyroscopeScrape's spec that have no effect yet. Whoever builds one removes it here."""


def unbuilt(spec: PyroscopeScrapeSpec) -> list[str]:
    """JSON paths (`spec.annotations.mode`) of the unbuilt fields that `spec` sets to something else than their default."""
    asked = spec.model_dump(by_alias=True, exclude_defaults=True)
    return [f"spec.{path}" for path in UNBUILT if _at(asked, path)]


def _at(values: dict[str, Any], path: str) -> Any:
    first, _, rest = path.partition(".")
    value = values.get(first)
    return _at(value, rest) if rest and value else value
