"""Writes every file that is made from something else: `python scripts/generate.py [--check]`.

With `--check` nothing is written, and the exit code is 1 when a file differs from what
would be written.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import chart
import dashboard

from pyroscope_operator.api import crd, reference
from pyroscope_operator.api.kinds import KINDS, Kind
from pyroscope_operator.metrics import Metrics
from pyroscope_operator.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "A minimal one": "minimal",
    "One with every field": "full",
}
_PROTO = "pyroscope_operator/_proto"


def generated() -> dict[str, str]:
    """Path below the root of the repository → contents of every generated file."""
    examples = {kind.name: {title: _example(kind, name) for title, name in EXAMPLES.items()} for kind in KINDS}
    header = "# Made by `make generate` from the models in operator/pyroscope_operator/api: do not edit.\n"
    crds = {name: header + text for name, text in crd.documents().items()}
    return {
        **{f"crds/{name}": text for name, text in crds.items()},
        "dashboards/pyroscope-operator.json": dashboard.text(),
        **chart.files(ROOT, crds, dashboard.text()),
        "docs/api.md": reference.reference(examples),
        "docs/metrics.md": _metrics(),
        "docs/settings.md": _settings(),
        **dict(_protobuf()),
    }


def _example(kind: Kind, name: str) -> str:
    return (ROOT / f"docs/examples/{kind.name.lower()}-{name}.yaml").read_text(encoding="utf-8")


def _metrics() -> str:
    rows = []
    for metric in Metrics().registry.collect():
        name = metric.name + ("_total" if metric.type == "counter" else "")
        rows.append((f"`{name}`", metric.type, metric.documentation))
    intro = "All metrics of the operator, served at `/metrics`."
    return _page("Metrics", "operator/pyroscope_operator/metrics.py", intro, ("metric", "type", "meaning"), rows)


def _settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        if name == "files":
            continue
        variable = "PYROSCOPE_URL" if name == "pyroscope_url" else PREFIX + name.upper()
        flag = "–" if name in {"write_password", "write_bearer_token"} else f"`--{name.replace('_', '-')}`"
        default = "required" if field.is_required() else f"`{field.default}`" if field.default not in (None, "", [], {}) else "–"
        rows.append((flag, f"`{variable}`", default, (field.description or "").replace("\n", " ")))
    intro = (
        "Settings of `pyroscope-operator run`; flags win over the environment. Durations are written as in Go (`15s`),\n"
        "sizes as `16MiB`, lists with commas in the environment and as repeated flags on the command line."
    )
    return _page(
        "Settings", "operator/pyroscope_operator/settings.py", intro, ("flag", "environment", "default", "meaning"), rows
    )


def _page(title: str, source: str, intro: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"<!-- Made by `make generate` from {source}: do not edit. -->", "", f"# {title}", "", intro, ""]
    lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _protobuf() -> Iterator[tuple[str, str]]:
    """Messages and their type stubs, by the pinned protoc."""
    sources = sorted(path.relative_to(ROOT / "operator").as_posix() for path in (ROOT / "operator" / _PROTO).glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={folder}", f"--pyi_out={folder}", *sources]
        subprocess.run(command, cwd=ROOT / "operator", check=True)
        for path in sorted((Path(folder) / _PROTO).iterdir()):
            yield f"operator/{_PROTO}/{path.name}", path.read_text(encoding="utf-8")


def outdated(files: dict[str, str]) -> list[str]:
    """Paths of `files` whose contents on disk differ, or that are missing."""
    return [p for p, text in files.items() if not (ROOT / p).is_file() or (ROOT / p).read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str]) -> int:
    """Writes or checks; the exit code."""
    check = "--check" in arguments
    files = generated()
    differing = outdated(files)
    for path in differing:
        if not check:
            (ROOT / path).write_text(files[path], encoding="utf-8")
        sys.stdout.write(f"{path} is out of date: run make generate\n" if check else f"wrote {path}\n")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
