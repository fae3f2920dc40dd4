"""What is found in files, beyond what the table of specs has: kinds, metadata, lists, objects that are there twice."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from check_files import HEAD, findings, report, told

from pyroscope_operator.check.finding import MAX_FINDINGS
from pyroscope_operator.check.inspect import Inspector
from pyroscope_operator.manifest.read import MAX_FILE_BYTES

ROOT = Path(__file__).parents[3]
SPEC = "spec: {selector: {}}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def with_metadata(metadata: str) -> str:
    return HEAD.replace("{name: a}", metadata) + SPEC


class TestKind:
    @pytest.mark.parametrize(
        ("version", "kind", "found"),
        [
            ("pyroscope-operator.dev/v1alpha1", "PyroscopeScrape", []),
            ("pyroscope-operator.dev/v1", "PyroscopeScrape", ["apiVersion"]),
            ("pyroscope-operator.io/v1alpha1", "PyroscopeScrape", ["apiVersion"]),
            ("v1", "PyroscopeScrape", ["apiVersion"]),
            ("pyroscope-operator.dev/v1alpha1", "PyroscopeScrap", ["kind"]),
            ("pyroscope-operator.dev/v1alpha1", "pyroscopescrapes", ["kind"]),
            ("pyroscope-operator.dev/v1alpha1", "Deployment", ["kind"]),
            ("pyroscope-operator.dev/v1alpha1", "PyroscopeWriter", ["kind"]),
            ("pyroscope-operator.dev/v2", "PyroscopScrape", ["apiVersion", "kind"]),
            ("example.com/v1", "PyroscopeScraper", ["apiVersion", "kind"]),
        ],
    )
    def test_ours(self, version: str, kind: str, found: list[str]) -> None:
        text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{selector: {{}}}}\n"
        assert [path for _, path, _ in told(text)] == found
        assert [line for line, _, _ in told(text)] == [{"apiVersion": 1, "kind": 2}[path] for path in found]
        assert report(text).counts["objects"] == 1

    @pytest.mark.parametrize(
        "text",
        [
            OTHER,
            "apiVersion: v1\nkind: PodScrape\n",
            "apiVersion: operator.victoriametrics.com/v1beta1\nkind: VMPodScrape\n",
            "apiVersion: example.com/v1\nkind: PyroscopeRule\n",
            "kind: [PyroscopeScrape]\napiVersion: {}\n",
            "spec: {selector: {}}\n",
            "- kind: PyroscopeScrape\n",
            "text\n",
            "a: !Ref x\na: .inf\n~: 5\n",
        ],
    )
    def test_not_ours(self, text: str) -> None:
        found = report(text)
        assert found.findings == []
        assert (found.counts["objects"], found.counts["others"]) == (0, 1)

    def test_the_fix(self) -> None:
        def said(version: str, kind: str) -> list[str]:
            return [found.message for found in findings(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n")]

        assert said("pyroscope-operator.dev/v1alpha1", "PyroscopeScrap") == ["did you mean PyroscopeScrape?"]
        assert said("pyroscope-operator.dev/v1alpha1", "pyroscopewrites") == ["did you mean PyroscopeWrite?"]
        assert "must be PyroscopeScrape or PyroscopeWrite" in said("pyroscope-operator.dev/v1alpha1", "X")[0]
        assert said("pyroscope-operator.dev/v1", "X")[0] == "must be pyroscope-operator.dev/v1alpha1"

    def test_missing(self) -> None:
        assert told("kind: PyroscopeScrape\nmetadata: {name: a}\nspec: {selector: {}}\n") == [
            (1, "apiVersion", "InvalidManifest")
        ]
        assert told("apiVersion: pyroscope-operator.dev/v1alpha1\nmetadata: {name: a}\n") == [(1, "kind", "InvalidManifest")]


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "path", "said"),
        [
            ("{name: a, namespce: shop}", "metadata.namespce", "did you mean namespace?"),
            ("{name: a, label: {}}", "metadata.label", "did you mean labels?"),
            ("{name: a, clusterName: x}", "metadata.clusterName", "is not a field"),
            ("{name: a, labels: {a: 1}}", "metadata.labels.a", "must be a string"),
            ("{name: a, labels: {a: y}}", "metadata.labels.a", "must be a string"),
            ("{name: a, labels: {a: 'x y'}}", "metadata.labels.a", "value of a Kubernetes label"),
            ("{name: a, labels: {'a b': x}}", "metadata.labels[a b]", "key of a Kubernetes label"),
            ("{name: a, labels: [a]}", "metadata.labels", "must be an object with fields"),
            ("{name: a, annotations: {a: true}}", "metadata.annotations.a", "must be a string"),
            ("{name: a, annotations: {a: {}}}", "metadata.annotations.a", "must be a string"),
            ("{name: a, annotations: {'a b': x}}", "metadata.annotations[a b]", "label or annotation"),
            (
                "{name: a, annotations: {'" + "a." * 200 + "b/c': x}}",
                f"metadata.annotations[{'a.' * 31}a]",
                "label or annotation",
            ),
            ("{name: 5}", "metadata.name", "must be a string"),
            ("{name: A}", "metadata.name", "lower-case letters"),
            ("{name: a, namespace: n}", "metadata.namespace", "must be a string"),
            ("{name: a, namespace: a.b}", "metadata.namespace", "lower-case letters"),
            ("{generateName: a-}", "metadata.name", "is required"),
            ("", "metadata", "is required"),
            ("[name]", "metadata", "must be an object with fields"),
        ],
    )
    def test_wrong(self, metadata: str, path: str, said: str) -> None:
        (found,) = findings(with_metadata(metadata))
        assert (found.path, found.at.line) == (path, 3)
        assert said in found.message

    @pytest.mark.parametrize(
        "metadata",
        [
            "{name: a.b, namespace: shop, labels: {a: x, b.c/D: '', e: }, annotations: {A.b/C: 'any text: {}', f: }}",
            "{name: a, uid: x, resourceVersion: '5', generation: 3, creationTimestamp: null, managedFields: [{}], selfLink: x}",
            "{name: a, finalizers: [], ownerReferences: [], deletionTimestamp: x, generateName: b}",
        ],
    )
    def test_right(self, metadata: str) -> None:
        assert findings(with_metadata(metadata)) == []


class TestLists:
    def test_as_kubectl_prints_them(self) -> None:
        text = "apiVersion: v1\nkind: List\nitems:\n"
        text += "- apiVersion: apps/v1\n  kind: Deployment\n"
        text += "- apiVersion: pyroscope-operator.dev/v1alpha1\n  kind: PyroscopeScrape\n  metadata: {name: a}\n"
        text += "  spec:\n    prot: 1\n    selector: {}\n  status: {summary: 5}\nmetadata:\n  resourceVersion: ''\n"
        found = report(text)
        assert told(text) == [(10, "spec.prot", "InvalidSpec")]
        assert (found.counts["objects"], found.counts["others"]) == (1, 1)

    def test_of_our_own_kind(self) -> None:
        text = "apiVersion: pyroscope-operator.dev/v1alpha1\nkind: PyroscopeScrapeList\nitems:\n"
        assert told(text + "- metadata: {name: a}\n  spec: {selector: {}}\n") == []
        assert told(text + "- metadata: {name: a}\n  spec:\n    selector: 5\n") == [(6, "spec.selector", "InvalidSpec")]
        assert told(text + "- metadata: {name: a}\n  kind: PyroscopScrape\n") == [(5, "kind", "InvalidManifest")]
        assert report(text + "[]\n").counts["objects"] == 0

    @pytest.mark.parametrize("items", ["", "items: {}\n", "items: [{kind: List, items: []}]\n"])
    def test_that_kubectl_refuses(self, items: str) -> None:
        (found,) = findings(f"apiVersion: v1\nkind: List\n{items}")
        assert "kubectl refuses it" in found.message


class TestTwice:
    def test_a_key(self) -> None:
        text = f"{HEAD}spec:\n  selector: {{}}\n  port: 1\n  port: '1'\n"
        assert told(text) == [(7, "spec.port", "InvalidManifest")], "told once, whatever the value"

    def test_an_object(self) -> None:
        (found,) = findings(HEAD + SPEC + "---\n" + HEAD.replace("{name: a}", "\n  namespace: default\n  name: a") + SPEC)
        assert (found.at.line, found.path) == (10, "metadata.name")
        assert "also in f0:1: rename" in found.message

    def test_in_another_file(self) -> None:
        (found,) = findings(f"# one\n{HEAD}{SPEC}", OTHER, HEAD + SPEC)
        assert (found.file, found.at.line) == ("f2", 3)
        assert "f0:2" in found.message

    @pytest.mark.parametrize("items", ["[*a, *a]", "[{<<: *a}, {<<: *a}]"])
    def test_on_the_same_line(self, items: str) -> None:
        item = f"{HEAD}{SPEC}".replace("\n", "\n  ").rstrip()
        text = f"x: &a\n  {item}\nkind: List\nitems: {items}\n"
        assert [path for _, path, _ in told(text)] == ["metadata.name"]

    def test_other_namespaces_and_names(self) -> None:
        text = "---\n".join(with_metadata(meta) for meta in ("{name: a}", "{name: b}", "{name: a, namespace: shop}"))
        assert findings(text) == []

    def test_objects_without_a_name_are_not_the_same(self) -> None:
        text = with_metadata("{}")
        assert told(f"{text}---\n{text}") == [(3, "metadata.name", "InvalidSpec"), (8, "metadata.name", "InvalidSpec")]


class TestPolicy:
    @pytest.mark.parametrize(
        ("spec", "paths"),
        [
            ("{selector: {}, namespaceSelector: {any: true}}", ["spec.namespaceSelector"]),
            ("{selector: {}, namespaceSelector: {matchNames: [default]}}", []),
            ("{selector: {}, namespaceSelector: {matchNames: [other]}}", ["spec.namespaceSelector"]),
            (
                "{staticTargets: [{address: a:1}], namespaceSelector: {any: true}}",
                ["spec.staticTargets", "spec.namespaceSelector"],
            ),
        ],
    )
    def test_what_the_settings_decide_is_a_note(self, spec: str, paths: list[str]) -> None:
        found = report(f"{HEAD}spec: {spec}\n")
        assert [finding.path for finding in found.findings] == paths
        assert all(finding.note and finding.reason == "NamespaceNotAllowed" for finding in found.findings)
        assert (found.counts["errors"], found.counts["notes"]) == (0, len(paths))


class TestMessages:
    @pytest.mark.parametrize(
        "spec",
        [
            "{selector: {}, basicAuth: {password: hunter2}}",
            "{selector: {}, bearerTokenSecret: {name: 'hunter2!', key: 'hunter2/'}}",
            "{selector: {}, proxyUrl: 'user:hunter2@proxy'}",
            "{selector: {}, headers: [{name: X, value: 'hunter2\\n'}, {name: X, value: hunter2}]}",
            "{selector: {}, bearerToken: hunter2, bearerToken: hunter2}",
            "{selector: {}, port: 'hunter2!', scheme: hunter2, interval: hunter2}",
            "{selector: {}, jobName: !!binary hunter2}",
            "{selector: {}, jobName: *hunter2}",
            "hunter2",
        ],
    )
    def test_values_are_never_shown(self, spec: str) -> None:
        found = findings(HEAD.replace("{name: a}", "{name: a, annotations: {a: [hunter2]}}") + f"spec: {spec}\n")
        assert found
        assert "hunter2" not in f"{found} {' '.join(map(str, found))}"

    def test_nothing_gets_out_of_its_line(self) -> None:
        text = HEAD.replace("{name: a}", '{name: "a\\n::error::\\e[31m", labels: {"x\\n\\u202e": 1}}') + SPEC
        shown = [str(finding) for finding in findings(text)]
        assert len(shown) == 3
        assert all(line.isprintable() for line in shown)

    def test_bounded_for_each_object(self) -> None:
        text = HEAD + "spec:\n" + "".join(f"  x{n}: 1\n  x{n}: 2\n" for n in range(100))
        assert len(findings(text)) <= 40

    def test_bounded_in_all(self) -> None:
        text = "---\n".join(with_metadata(f"{{name: a{n}}}").replace("selector: {}", "selectr: {}, port: 0") for n in range(600))
        found = report(text)
        assert len(found.findings) == MAX_FINDINGS
        assert found.counts["errors"] == 1200
        assert found.left_out == 200

    def test_sorted_by_place(self) -> None:
        text = f"{HEAD}spec:\n  prot: 1\n  selector: 5\n  interval: x\n  interval: 15s\n  suspend: y\n  jobName: 5\n"
        lines = [line for line, _, _ in told(text)]
        assert lines == sorted(lines) == [5, 6, 8, 10]

    def test_form(self) -> None:
        (error,) = findings(f"{HEAD}spec:\n  selector: {{}}\n  intervall: 15s\n")
        fix = "PyroscopeScrape default/a: spec.intervall: is not a field: did you mean interval?"
        assert str(error) == f"f0:6:3: {fix}"
        (note,) = findings(f"{HEAD}spec: {{staticTargets: [{{address: a:1}}]}}\n")
        assert str(note).startswith("f0:4:8: note: PyroscopeScrape default/a: spec.staticTargets: targets that are no pods")
        (yaml,) = findings(f"{HEAD}spec: [\n")
        assert str(yaml).startswith("f0:5:1: not valid YAML: ")


def test_what_comes_before_a_mistake_in_the_file_is_checked() -> None:
    found = report(f"{HEAD}spec: {{prot: 1}}\n---\nx: [\n")
    assert [finding.at.line for finding in found.findings] == [4, 7]
    assert found.counts["objects"] == 1


def test_a_file_that_is_too_large() -> None:
    inspector = Inspector()
    inspector.inspect("f", io.BytesIO(b"#" * (MAX_FILE_BYTES + 1)))
    (found,) = inspector.report.findings
    assert str(found) == "f: larger than 4 MiB"


@pytest.mark.parametrize(
    ("texts", "summary"),
    [
        ([HEAD + SPEC], "checked 1 object in 1 file: 0 errors, 0 notes"),
        ([OTHER], "checked 0 objects in 1 file: 0 errors, 0 notes (1 document of other kinds not looked at)"),
        (
            [HEAD, f"{OTHER}---\n{OTHER}"],
            "checked 1 object in 2 files: 1 error, 0 notes (2 documents of other kinds not looked at)",
        ),
        ([""], "checked 0 objects in 1 file: 0 errors, 0 notes"),
    ],
)
def test_summary(texts: list[str], summary: str) -> None:
    assert report(*texts).summary() == summary


def test_a_finding_as_json() -> None:
    expected: dict[str, Any] = {
        "file": "f0",
        "line": 4,
        "column": 1,
        "object": "PyroscopeScrape default/a",
        "path": "spec.selector",
    }
    (found,) = findings(f"{HEAD}spec: {{}}\n")
    made = found.as_json()
    assert {key: made[key] for key in expected} == expected
    assert (made["reason"], made["severity"]) == ("InvalidSpec", "error")
    assert made["message"].startswith("at least one of selector and staticTargets")


def test_what_the_docs_show() -> None:
    """The manifests of the README are fine; the example with every field asks for privileges only."""
    shown = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(shown) >= 2
    assert not [finding for finding in findings(*shown) if not finding.note]
    assert findings((ROOT / "docs/examples/pyroscopescrape-minimal.yaml").read_text()) == []
    full = findings((ROOT / "docs/examples/pyroscopescrape-full.yaml").read_text())
    assert {finding.reason for finding in full} == {"NamespaceNotAllowed"}


def test_credentials_for_other_namespaces_are_noted() -> None:
    auth = "bearerTokenSecret: {name: a, key: b}, headers: [{name: X, value: z}]"
    found = findings(f"{HEAD}spec: {{selector: {{}}, namespaceSelector: {{any: true}}, {auth}}}\n")
    assert {(f.path, f.reason, f.note) for f in found} == {
        (path, "NamespaceNotAllowed", True) for path in ("spec.namespaceSelector", "spec.bearerTokenSecret", "spec.headers")
    }
    assert any("crossNamespaceCredentials" in f.message for f in found)
    assert findings(f"{HEAD}spec: {{selector: {{}}, {auth}}}\n") == []
