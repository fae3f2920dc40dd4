"""Files of the Helm chart that are made from others: copies of the CRDs, dashboard and alerts, and its README."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_LEAVES = ("livenessProbe", "readinessProbe", "podSecurityContext", "securityContext", "resources")
"""Values that are shown whole."""
_MARK = "<!-- values -->"


def files(root: Path, crds: Mapping[str, str], dashboard: str) -> dict[str, str]:
    """Path below `root` → contents; `crds` by file name."""
    chart = "helm/pyroscope-operator"
    return {
        **{f"{chart}/files/crds/{name}": text for name, text in crds.items()},
        f"{chart}/files/dashboard.json": dashboard,
        f"{chart}/files/alerts.yaml": (root / "alerts/pyroscope-operator.yaml").read_text(encoding="utf-8"),
        f"{chart}/README.md": readme(
            (root / "helm/README.in.md").read_text(encoding="utf-8"), (root / chart / "values.yaml").read_text(encoding="utf-8")
        ),
    }


def readme(template: str, values: str) -> str:
    """The template with a table of all values in it."""
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    rows += [
        f"| `{key}` | {f'`{default}`' if default else ''} | {text} |".replace("  |", " |") for key, default, text in table(values)
    ]
    return template.replace(_MARK, "\n".join(rows))


def table(values: str) -> list[tuple[str, str, str]]:
    """Dotted name, default as JSON (empty for a group), and description of every value, in the order of the file."""
    lines = values.splitlines()
    node: Any = yaml.compose(values, Loader=yaml.SafeLoader)
    return [(key, default, text.replace("|", "\\|")) for key, default, text in _rows(node, lines, ())]


def _rows(mapping: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for key, value in mapping.value:
        here = (*path, str(key.value))
        text = _comment(lines, key.start_mark.line, key.start_mark.column)
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style and here[0] not in _LEAVES:
            if text:
                yield ".".join(here), "", text
            yield from _rows(value, lines, here)
        else:
            loader = yaml.SafeLoader("")
            default = loader.construct_object(value, deep=True)
            yield ".".join(here), json.dumps(default), text


def _comment(lines: list[str], line: int, column: int) -> str:
    """What stands above a key, at its own indentation."""
    found: list[str] = []
    while line > 0 and lines[line - 1].startswith(" " * column + "# "):
        line -= 1
        found.insert(0, lines[line].strip().removeprefix("# "))
    return " ".join(found)
