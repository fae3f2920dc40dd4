"""How Grafana wants a dashboard: rows of panels, one under the other."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_WIDTH = 24
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_CHOSEN = ("namespace", "job", "instance")
"""Labels that every series gets from Prometheus, and that one can choose by."""

Rows = Mapping[str, Sequence["Panel"]]
"""Panels by the title of their row."""


@dataclass(frozen=True)
class Query:
    """PromQL in which `@` stands for the choice of operators, within braces."""

    text: str
    legend: str = ""
    """As Grafana writes it; empty: one series, called like the panel."""


@dataclass(frozen=True)
class Panel:
    """A graph, or one number."""

    title: str
    unit: str
    queries: Sequence[Query]
    text: str
    """What it tells, and what to think of it."""
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False
    colours: Sequence[tuple[str, float | None]] = field(default_factory=tuple)
    """Of a number, from which value on each."""


def dashboard(rows: Rows, info: str, **about: Any) -> str:
    """As a file for Grafana. `info` is a metric that each process has; `about`: uid, title and so on."""
    made = {
        **about,
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": list(_variables(info))},
        "panels": list(_panels(rows)),
    }
    return json.dumps(made, indent=2) + "\n"


def _variables(info: str) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    chosen: list[str] = []
    for name in _CHOSEN:
        query = f"label_values({info}{{{', '.join(chosen)}}}, {name})"
        chosen.append(f'{name}=~"${name}"')
        yield {
            "name": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",  # also where there is no such label
            "current": {"text": "All", "value": "$__all"},
        }


def _panels(rows: Rows) -> Iterator[dict[str, Any]]:
    """Rows one under the other; panels from left to right."""
    number = top = 0
    for row, panels in rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _WIDTH, "h": 1},
        }
        top, left, height = top + 1, 0, 0
        for panel in panels:
            if left + panel.width > _WIDTH:
                top, left, height = top + height, 0, 0
            tall = _HEIGHT if panel.kind == "timeseries" else _HEIGHT // 2
            number += 1
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": tall})
            left, height = left + panel.width, max(height, tall)
        top += height


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    mine = ", ".join(f'{name}=~"${name}"' for name in _CHOSEN)
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query.text.replace("@", mine),
                "legendFormat": query.legend or panel.title,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    made: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "stat":
        steps = [{"color": colour, "value": value} for colour, value in panel.colours]
        return {**made, "thresholds": {"mode": "absolute", "steps": steps}, "color": {"mode": "thresholds"}}
    stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
    fill = 30 if panel.stacked else 5
    return {
        **made,
        "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": fill, "showPoints": "never", "stacking": stacking},
    }


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    """Limits are dashed lines."""
    limits = [query.legend for query in panel.queries if query.legend.startswith("--") or query.legend == "limit"]
    dashed = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}
    return [{"matcher": {"id": "byName", "options": name}, "properties": [dashed]} for name in limits]


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "colorMode": "value",
            "graphMode": "area",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
