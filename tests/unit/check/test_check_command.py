"""`pyroscope-operator check`: flags, exit codes, and what goes where."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from check_files import HEAD

from pyroscope_operator import cli

GOOD = f"{HEAD}spec: {{selector: {{}}}}\n"
BAD = f"{HEAD}spec: {{selector: {{}}, intervall: 5s}}\n"
NOTED = f"{HEAD}spec: {{staticTargets: [{{address: a:1}}]}}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current one, with a file of each sort."""
    monkeypatch.chdir(tmp_path)
    for name, text in {"good": GOOD, "bad": BAD, "noted": NOTED, "other": OTHER, "empty": "", "broken": "a: ["}.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (["good.yaml"], 0),
        (["good.yaml", "other.yaml", "empty.yaml"], 0),
        (["noted.yaml"], 0),
        (["bad.yaml"], 1),
        (["good.yaml", "broken.yaml"], 1),
        (["other.yaml"], 1),
        (["empty.yaml"], 1),
        (["missing.yaml"], 2),
        (["good.yaml", "missing.yaml"], 2),
        (["bad.yaml", "missing.yaml"], 2),
        (["."], 2),
    ],
)
def test_exit_codes(files: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", *files]) == code
    told = capsys.readouterr()
    assert told.out.splitlines()[-1].startswith("checked ")
    assert "Traceback" not in told.err


def test_findings_and_the_summary_are_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "bad.yaml", "missing.yaml", "other.yaml"]) == 2
    told = capsys.readouterr()
    assert told.out == (
        "bad.yaml:4:22: PyroscopeScrape default/a: spec.intervall: is not a field: did you mean interval?\n"
        "checked 1 object in 2 files: 1 error, 0 notes (1 document of other kinds not looked at)\n"
    )
    assert told.err == "pyroscope-operator: missing.yaml: No such file or directory\n"


def test_a_check_that_checked_nothing_is_not_green(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "other.yaml", "empty.yaml"]) == 1
    assert "nothing was checked" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "code"), [(GOOD, 0), (BAD, 1), ("", 1)])
def test_standard_input(text: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert cli.main(["check", "-"]) == code
    assert ("<stdin>:4:22: " in capsys.readouterr().out) == (text == BAD)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--output", "json", "bad.yaml", "noted.yaml", "good.yaml"]) == 1
    made = json.loads(capsys.readouterr().out)
    found = [(finding["file"], finding["path"], finding["severity"]) for finding in made.pop("findings")]
    twice = [(file, "metadata.name", "error") for file in ("noted.yaml", "good.yaml")]
    assert sorted(found) == sorted(
        [("bad.yaml", "spec.intervall", "error"), ("noted.yaml", "spec.staticTargets", "note"), *twice]
    )
    assert made == {"files": 3, "objects": 3, "others": 0, "errors": 3, "notes": 1}


def test_what_is_left_out_is_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "many.yaml").write_text("---\n".join(BAD.replace("name: a", f"name: a{n}") for n in range(1005)))
    assert cli.main(["check", "many.yaml"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == ["… and 5 more", "checked 1005 objects in 1 file: 1005 errors, 0 notes"]


def test_a_reader_that_has_seen_enough(folder: Path) -> None:
    (folder / "many.yaml").write_text("---\n".join(BAD.replace("name: a", f"name: a{n}") for n in range(1000)))
    command = [sys.executable, "-m", "pyroscope_operator", "check", "many.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2), (["--outpu", "json", "good.yaml"], 2), (["--x"], 2)])
def test_usage(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", *arguments])
    assert caught.value.code == code
    told = capsys.readouterr()
    assert "usage: pyroscope-operator check" in (told.err if code else told.out)
    assert code or "exit code:" in told.out


def test_a_terminal_that_knows_no_umlauts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "ü.yaml").write_text("a: [")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["check", "ü.yaml"]) == 1
    out.flush()
    assert out.buffer.getvalue().startswith(b"\\xfc.yaml:1:5: not valid YAML")  # type: ignore[attr-defined]
