"""Wrong objects: the API server, the operator and `pyroscope-operator check` give the same answer to every row of one table.

Everything is applied for real, to an ordinary namespace with a running operator.
"""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.harness.build import BIN, ROOT
from e2e.harness.cluster import SCRAPES, Cluster
from e2e.harness.parts import Operator
from e2e.harness.wait import eventually
from pyroscope_operator.api.kinds import KINDS, kind_named
from pyroscope_operator.api.load import load

CASES: list[Any] = runpy.run_path(str(ROOT / "tests/unit/cases.py"))["ALL"]
"""The tables of the unit tests: the very same rows."""
WORDS: dict[str, Any] = runpy.run_path(str(ROOT / "tests/unit/words.py"))["WORDS"]
line_of = runpy.run_path(str(ROOT / "tests/unit/lines.py"))["line_of"]

NAMESPACE = "manifests"
OBJECTS = {kind.name: f"{SCRAPES}/namespaces/{NAMESPACE}/{kind.plural}" for kind in KINDS}
NAMES = {case.name: f"row-{number:03}" for number, case in enumerate(CASES)}


def check(folder: Path, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """Run the real command; its exit code and what it printed."""
    command = [sys.executable, "-m", "pyroscope_operator", "check", *arguments]
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def answers(cluster: Cluster, operator: Operator) -> Iterator[dict[str, httpx.Response]]:
    """What the API server answered to each row."""
    cluster.namespace(NAMESPACE)
    strict = {"fieldValidation": "Strict"}
    yield {
        case.name: cluster.api.post(OBJECTS[case.kind], params=strict, json=case.manifest(NAMES[case.name], NAMESPACE))
        for case in CASES
    }
    for path in OBJECTS.values():
        assert cluster.api.delete(path).is_success


@pytest.fixture(scope="module")
def accepted(cluster: Cluster, answers: Mapping[str, httpx.Response]) -> dict[str, Mapping[str, str]]:
    """The condition Accepted of each object that the API server took."""

    def conditions() -> dict[str, Mapping[str, str]]:
        items = [item for path in OBJECTS.values() for item in cluster.api.get(path).json()["items"]]
        found = {
            item["metadata"]["name"]: condition
            for item in items
            for condition in item.get("status", {}).get("conditions", ())
            if condition["type"] == "Accepted" and condition["observedGeneration"] == item["metadata"]["generation"]
        }
        assert len(found) == len(items), f"{len(items) - len(found)} objects have no status yet"
        return found

    assert sum(answer.is_success for answer in answers.values()) > 20
    by_name = eventually(conditions, "every object has a status", 120)
    return {case.name: by_name[NAMES[case.name]] for case in CASES if NAMES[case.name] in by_name}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each row."""
    folder = tmp_path_factory.mktemp("rows")
    for case in CASES:
        text = yaml.safe_dump(case.manifest(NAMES[case.name], NAMESPACE), sort_keys=False)
        (folder / f"{NAMES[case.name]}.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def findings(files: Path) -> dict[str, list[dict[str, Any]]]:
    """What `check` found, by file; one process for all."""
    code, out = check(files, "--output", "json", *sorted(path.name for path in files.iterdir()))
    report = json.loads(out)
    assert code == 1
    assert report["objects"] == report["files"] == len(CASES)
    found = defaultdict(list)
    for finding in report["findings"]:
        found[finding["file"]].append(finding)
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_api_server(answers: Mapping[str, httpx.Response], case: Any) -> None:
    """It refuses with the path and the words of the row, or takes the object and fills in the model's defaults."""
    answer = answers[case.name]
    assert answer.is_success != case.refused, answer.text
    if case.refused:
        message = answer.json()["message"]
        assert answer.status_code in {400, 422}
        assert case.refusal in message
        assert case.paths[0] in message
    elif case.reason != "InvalidSpec":
        kind = kind_named(case.kind)
        assert kind is not None
        stored, model = load(kind, answer.json()), load(kind, case.manifest())
        assert stored.spec == model.spec, "defaults filled in by the server differ from the model's"


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=str)
def test_the_operator(accepted: Mapping[str, Mapping[str, str]], case: Any) -> None:
    condition = accepted[case.name]
    assert condition["reason"] == case.reason_in_cluster
    assert condition["status"] == str(case.reason_in_cluster == "Accepted")
    assert case.says in condition["message"]
    assert all(path in condition["message"] for path in (*case.paths, case.missing))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_check(files: Path, findings: Mapping[str, list[dict[str, Any]]], case: Any) -> None:
    """It says offline what the row says, at the line of the wrong field."""
    name = f"{NAMES[case.name]}.yaml"
    # What is only noted comes after what is wrong: the operator would tell of it later.
    found = [f for f in findings.get(name, []) if f["severity"] == "error" or case.reason == "NamespaceNotAllowed"]
    assert sorted((f["path"], f["reason"]) for f in found) == sorted((path, case.reason) for path in case.paths)
    text = (files / name).read_text()
    for finding in found:
        assert finding["line"] == line_of(text, finding["path"]), text
        assert case.says in finding["message"]
        assert finding["severity"] == ("note" if case.reason == "NamespaceNotAllowed" else "error")


def test_check_for_people(files: Path, findings: Mapping[str, list[dict[str, Any]]]) -> None:
    """The text has the same findings, one in a line that begins with FILE:LINE:COLUMN; the exit code tells good from bad."""
    good = [f"{NAMES[case.name]}.yaml" for case in CASES if case.reason in {"Accepted", "NamespaceNotAllowed"}]
    bad = [f"{NAMES[case.name]}.yaml" for case in CASES if case.reason == "InvalidSpec"]
    code, out = check(files, *bad)
    expected = [
        f"{f['file']}:{f['line']}:{f['column']}: {f['object']}: {f['path']}: {f['message']}" for n in bad for f in findings[n]
    ]
    assert (code, out.splitlines()[:-1]) == (1, expected)
    assert out.splitlines()[-1] == f"checked {len(bad)} objects in {len(bad)} files: {len(expected)} errors, 0 notes"
    code, out = check(files, *good)
    assert code == 0
    assert all(": note: " in line for line in out.splitlines()[:-1])


@pytest.mark.parametrize(
    "name", ["interval without unit", "unknown field", "two authentications", "CPU without delta at 15s", "port in quotes"]
)
def test_kubectl_says_it(cluster: Cluster, answers: Mapping[str, httpx.Response], files: Path, name: str) -> None:
    """What a person sees of a refusal: the field and the fix."""
    case = next(case for case in CASES if case.name == name)
    said = cluster.kubectl("apply", "-f", str(files / f"{NAMES[name]}.yaml"), check=False)
    assert case.refusal in said
    assert case.paths[0] in said


def test_kubectl_shows_it(cluster: Cluster, accepted: Mapping[str, Mapping[str, str]]) -> None:
    """What a person sees of an object that was taken and is not accepted: READY, the reason, and the message."""
    columns = [line for kind in KINDS for line in cluster.kubectl("get", kind.short, "-n", NAMESPACE, "-o", "wide").splitlines()]
    shown = {line.split()[0]: line for line in columns}
    for case in CASES:
        if not case.refused and case.reason_in_cluster != "Accepted":
            line = shown[NAMES[case.name]]
            assert "False" in line and case.reason_in_cluster in line and (case.missing or case.says) in line, line


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_the_cluster_has(
    cluster: Cluster, files: Path, accepted: Mapping[str, Mapping[str, str]], findings: Mapping[str, Any], form: str
) -> None:
    """The list that kubectl prints, with status and all that the server has added: the same findings, object by object."""
    listed = cluster.kubectl("get", "pyscrape,pywrite", "-n", NAMESPACE, "-o", form)
    report = json.loads(check(files, "--output", "json", "-", stdin=listed)[1])
    assert report["objects"] == len(accepted)
    found = sorted((f["object"], f["path"], f["reason"]) for f in report["findings"])
    assert found == sorted((f["object"], f["path"], f["reason"]) for n in accepted for f in findings.get(f"{NAMES[n]}.yaml", []))
    lines = listed.splitlines()
    for finding in report["findings"]:
        field = re.split(r"[.\[\]]+", finding["path"].rstrip("]"))[-1]
        assert field in lines[finding["line"] - 1], finding


def test_words(tmp_path: Path, binaries: None) -> None:
    """What kubectl makes of unquoted words is what the unit tests say, which is what our reader makes of them."""
    words = list(WORDS)
    path = tmp_path / "words.yaml"
    path.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nwords:\n" + "".join(f"- {word}\n" for word in words))
    command = [BIN / "kubectl", "annotate", "--local", "-f", path, "-o", "json", "a=b"]
    made = json.loads(subprocess.run(command, capture_output=True, check=True, env={"HOME": str(tmp_path)}).stdout)["words"]
    for word, value in zip(words, made, strict=True):
        wanted = WORDS[word]
        same = float(value) == wanted if isinstance(wanted, float) else (type(value), value) == (type(wanted), wanted)
        assert same, (word, value)


HEAD = "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrape\nmetadata: {name: NAME}\n"
"""NAME is another one in each text."""
OURS = f"{HEAD}spec: {{selector: {{}}}}\n"
ITEM = OURS.replace("\n", "\n  ").rstrip(" ")


def metadata(text: str) -> str:
    return OURS.replace("{name: NAME}", text)


TEXTS: list[tuple[str, str, bool, bool]] = [
    # name, text, kubectl applies it, check finds nothing wrong
    ("plain", OURS, True, True),
    ("byte order mark", f"\ufeff{OURS}", True, True),
    ("CRLF", OURS.replace("\n", "\r\n"), True, True),
    ("tabs that separate", OURS.replace(": ", ":\t"), True, True),
    ("JSON with tabs", json.dumps(yaml.safe_load(OURS), indent="\t"), True, True),
    ("list", f"apiVersion: v1\nkind: List\nitems:\n- {ITEM}", True, True),
    ("list of our own", f"apiVersion: {SCRAPES[6:]}\nkind: PyroscopeScrapeList\nitems:\n- {ITEM}", True, True),
    ("aliases", metadata("{name: NAME, labels: &l {app: x}}").replace("{}", "{matchLabels: *l}"), True, True),
    ("merge", OURS.replace("{}", "{}, profilingConfig: {mutex: &m {enabled: off}, block: {<<: *m, path: /x}}"), True, True),
    ("whole number with a point", f"{HEAD}spec: {{selector: {{}}, port: 6060.0}}\n", True, True),
    ("octal port", f"{HEAD}spec: {{selector: {{}}, port: 0o17}}\n", True, True),
    ("on for true", f"{HEAD}spec: {{selector: {{}}, suspend: on}}\n", True, True),
    ("date as a string", f"{HEAD}spec: {{selector: {{}}, jobName: 2001-02-30}}\n", True, True),
    ("label without value", metadata("{name: NAME, labels: {a: }}"), True, True),
    ("status of another time", f"{OURS}status: {{summary: '5'}}\n", True, True),
    ("boolean for a string", f"{HEAD}spec: {{selector: {{}}, jobName: y}}\n", False, False),
    ("sexagesimal interval", f"{HEAD}spec: {{selector: {{}}, interval: 1:30}}\n", False, False),
    ("infinite", f"{HEAD}spec: {{selector: {{}}, targetLimit: .inf}}\n", False, False),
    ("key that is no text", f"{HEAD}spec: {{selector: {{matchLabels: {{~: x}}}}}}\n", False, False),
    ("tab as indentation", f"{HEAD}spec:\n\tselector: {{}}\n", False, False),
    ("unknown alias", f"{HEAD}spec: {{selector: *x}}\n", False, False),
    ("text behind ---", f"--- {{a: b}}\n---\n{OURS}", False, True),  # not of our kind, so none of our business
    ("list in a list", "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: []}\n", False, False),
    ("kind misspelt", OURS.replace("Scrape", "Scrap"), False, False),
    ("another version", OURS.replace("v1alpha1", "v1"), False, False),
    ("without version", OURS.partition("\n")[2], False, False),
    ("without name", metadata("{}"), False, False),
    ("name to be generated", metadata("{generateName: a-}"), False, False),
    ("name is a number", metadata("{name: 5}"), False, False),
    ("namespace is a boolean", metadata("{name: NAME, namespace: n}"), False, False),
    ("metadata misspelt", metadata("{name: NAME, namespce: x}"), False, False),
    ("label is a number", metadata("{name: NAME, labels: {a: 1}}"), False, False),
    ("label with a blank", metadata("{name: NAME, labels: {a: 'x y'}}"), False, False),
    ("annotation is a boolean", metadata("{name: NAME, annotations: {a: true}}"), False, False),
    ("without spec", HEAD, False, False),
    # Here check is stricter: kubectl takes the last one without a word.
    ("key twice", f"{HEAD}spec: {{selector: {{}}, port: 1, port: 2}}\n", True, False),
    ("key twice in JSON", json.dumps(yaml.safe_load(OURS))[:-1] + ', "kind": "PyroscopeScrape"}', True, False),
    ("object twice", f"{OURS}---\n{OURS}", True, False),
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each text."""
    folder = tmp_path_factory.mktemp("texts")
    for number, (_, text, _, _) in enumerate(TEXTS):
        (folder / f"{number}.yaml").write_bytes(text.replace("NAME", f"text-{number}").encode())
    return folder


@pytest.fixture(scope="module")
def wrong(texts: Path) -> set[str]:
    """Names of the files in which `check` finds something wrong."""
    report = json.loads(check(texts, "--output", "json", *(f"{number}.yaml" for number in range(len(TEXTS))))[1])
    return {finding["file"] for finding in report["findings"] if finding["severity"] == "error"}


@pytest.mark.parametrize(
    ("number", "applied", "fine"), [(n, row[2], row[3]) for n, row in enumerate(TEXTS)], ids=[row[0] for row in TEXTS]
)
def test_texts(cluster: Cluster, texts: Path, wrong: set[str], number: int, applied: bool, fine: bool) -> None:
    """Ways to write it: kubectl and `check` agree but where the row says so."""
    said = cluster.kubectl("apply", "--dry-run=server", "-f", str(texts / f"{number}.yaml"), check=False)
    assert ("server dry run" in said and "rror" not in said) == applied, said
    assert (f"{number}.yaml" not in wrong) == fine
