"""YAML text → nodes that know where they stand. Everything is bounded, and nothing of a file is repeated in a message."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pyroscope_operator.errors import ManifestError, Place
from pyroscope_operator.manifest.compose import MAX_DEPTH, compose
from pyroscope_operator.manifest.node import Node
from pyroscope_operator.manifest.read import MAX_FILE_BYTES, documents


def one(text: str) -> Node:
    (root,) = compose("f", text)
    return root


def plain(text: str) -> Any:
    return one(text).plain()


def refused(content: str | bytes) -> ManifestError:
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(ManifestError) as caught:
        list(documents("f.yaml", io.BytesIO(content)))
    assert caught.value.__cause__ is None
    return caught.value


def flaws(text: str) -> list[tuple[int, str, str]]:
    """(line, path, message) of every flaw."""
    return sorted((at.line, problem.path, problem.message) for at, problem in one(text).problems())


NESTED = """\
# A comment
spec:
  # another one
  list:
    - name: a
      deep: [x, {v: z}]
    -
      name: b
  "quoted key": |
    several
    lines
  flow: {a: 1,
    b: {c: 2}}
  empty:
last: end
"""


@pytest.mark.parametrize(
    ("place", "line", "column"),
    [
        ((), 2, 1),
        (("spec",), 2, 1),
        (("spec", "list"), 4, 3),
        (("spec", "list", 0), 5, 7),
        (("spec", "list", 0, "name"), 5, 7),
        (("spec", "list", 0, "deep"), 6, 7),
        (("spec", "list", 0, "deep", 0), 6, 14),
        (("spec", "list", 0, "deep", 1, "v"), 6, 18),
        (("spec", "list", 1, "name"), 8, 7),
        (("spec", "quoted key"), 9, 3),
        (("spec", "flow"), 12, 3),
        (("spec", "flow", "b"), 13, 5),
        (("spec", "flow", "b", "c"), 13, 9),
        (("spec", "empty"), 14, 3),
        (("last",), 15, 1),
        # what is missing: the nearest thing around it
        (("spec", "missing"), 2, 1),
        (("spec", "list", 7, "name"), 4, 3),
        (("spec", "list", 1, "missing", "deeper"), 8, 7),
        (("spec", "list", "name"), 4, 3),
        (("spec", "empty", "x"), 14, 3),
        (("nothing",), 2, 1),
        ((5,), 2, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_places(place: Place, line: int, column: int, newline: str) -> None:
    assert one(NESTED.replace("\n", newline)).locate(place) == (line, column)


def test_places_in_json() -> None:
    text = '{\n\t"spec": {\n\t\t"a": 1,\t"b": [\n\t\t\t{"c": "x"}]\n\t}\n}\n'
    root = one(text)
    assert root.plain() == {"spec": {"a": 1, "b": [{"c": "x"}]}}
    assert root.locate(("spec",)) == (2, 2)
    assert root.locate(("spec", "b")) == (3, 11)
    assert root.locate(("spec", "b", 0, "c")) == (4, 5)


def test_places_in_later_documents() -> None:
    first, second = (root for root in compose("f", "a: 1\n---\n# x\n\nb:\n  c: 2\n---\n") if root.value is not None)
    assert first.locate(("a",)) == (1, 1)
    assert second.locate(("b", "c")) == (6, 3)


def test_a_shared_node_stands_where_its_anchor_is() -> None:
    root = one("x: &x\n  a: 1\nw: *x\nz:\n  <<: *x\n  b: 2\n")
    assert root.plain() == {"x": {"a": 1}, "w": {"a": 1}, "z": {"a": 1, "b": 2}}
    assert root.locate(("w", "a")) == root.locate(("z", "a")) == (2, 3)
    assert root.locate(("w",)) == (3, 1)
    assert root.locate(("z", "b")) == (6, 3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{a: 'on', b: \"on\", c: on, d: !!str on, e: ! on}", {"a": "on", "b": "on", "c": True, "d": "on", "e": "on"}),
        ('{a: !!int "5", b: !!bool yes, c: !!null "", d: !!float 5, e: !!map {}, f: !!seq []}',
         {"a": 5, "b": True, "c": None, "d": 5, "e": {}, "f": []}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", {"a": "x\ny\n", "b": "x y"}),
        ("{1: a, on: c, 0x10: d, 1e3: e, '5': f}", {"1": "a", "true": "c", "16": "d", "1000": "e", "5": "f"}),
        ('"\\ud83d\\ude00 \\ud83d"', "😀 �"),
        ("x:\ta\t# comment\n", {"x": "a"}),
        ("[&a 1, &a 2, *a]", [1, 2, 2]),
        ("{? a, ? b : c}", {"a": None, "b": "c"}),
        ("&k a: 1\nb: *k\n", {"a": 1, "b": "a"}),
        ("- <<\n- {'<<': 1}\n", ["<<", {"<<": 1}]),
        ("\ufeff# x\na: 1\n", {"a": 1}),
    ],
    ids=["quotes", "tags", "blocks", "keys", "surrogates", "tabs", "anchor again", "explicit keys", "key", "no merge", "BOM"],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    assert plain(text) == value
    assert flaws(text) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{<<: *b, a: 9}", {"a": 9, "c": 2}),
        ("{a: 9, <<: *b}", {"a": 1, "c": 2}),  # as kubectl does it: what comes last wins
        ("{<<: [*b, *d]}", {"a": 1, "c": 2, "e": 4}),
        ("{<<: *b, <<: *d}", {"a": 3, "c": 2, "e": 4}),
        ("{<<: {x: 1}}", {"x": 1}),
        ("{<<: []}", {}),
    ],
)
def test_merges(text: str, value: Any) -> None:
    assert plain(f"[&b {{a: 1, c: 2}}, &d {{a: 3, e: 4}}, {text}]")[2] == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "a", "is there twice, first in line 1")]),
        ("x:\n- {a: 1, a: 2, a: 3}\n", [(2, "x[0].a", "first in line 2"), (2, "x[0].a", "first in line 2")]),
        ("'a': 1\na: 2\n", [(2, "a", "is there twice")]),
        ("on: 1\ntrue: 2\n", [(2, "true", "is there twice")]),
        ("1: a\n'1': b\n", [(2, "[1]", "is there twice")]),
        ("x: &x {a: 1, a: 2}\nw: *x\nz: {<<: *x}\n", [(1, "x.a", "is there twice")]),
        ("a: .inf\n", [(1, "a", "JSON can't say")]),
        ("a: [.nan]\n", [(1, "a[0]", "JSON can't say")]),
        ("a:\n  b: !Ref x\n", [(2, "a.b", "has a tag")]),
        ("a: !!binary aGk=\n", [(1, "a", "has a tag")]),
        ("a: !!int five\n", [(1, "a", "has a tag")]),
        ("a: !!bool 1\n", [(1, "a", "has a tag")]),
        ("a: !x {}\n", [(1, "a", "has a tag")]),
        ("a: !!set {x}\n", [(1, "a", "has a tag")]),
        ("~: 1\n", [(1, "", "has a key that is no text")]),
        ("x: {[a]: 1}\n", [(1, "x", "has a key that is no text")]),
        ("x: {1.5: 1}\n", [(1, "x", "has a key that is no text")]),
        ("x:\n  <<: 5\n", [(2, "x[<<]", "needs a map")]),
        ("x:\n  <<: [{}, 5]\n", [(2, "x[<<]", "needs a map")]),
        ("--- {a: 1}\n", [(1, "", "on the line after ---")]),
        ("--- # fine\na: 1\n", []),
        ("--- \n", []),
    ],
)
def test_flaws(text: str, found: list[tuple[int, str, str]]) -> None:
    told = flaws(text)
    assert [(line, path) for line, path, _ in told] == [(line, path) for line, path, _ in found]
    assert all(part in message for (_, _, message), (_, _, part) in zip(told, found, strict=True))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("a:\n  b: 1\n c: 2\n", 3, "indentation"),
        ("a: b: c\n", 1, "a ':' where none may be"),
        ("a: 'x\nb: 1\n", 1, "a quote that is not closed"),
        ("a:\n\tb: 1\n", 2, "a tab where none may be"),
        ("a: @x\n", 1, "must stand in quotes"),
        ("a: %x\n", 1, "must stand in quotes"),
        ("x: 1\na: *hunter2\n", 2, "put a value that starts with * in quotes"),
        ("a: &a [*a]\n", 1, "contains itself"),
        ("a: 'x'y\n", 1, "indentation is wrong, or a quote"),
        ('{"a": 1}\n{"b": 1}\n', 2, "put --- between"),
        ("a: 1\nb\n", 3, "a ':' is missing"),
        ('a: "\\UFFFFFFFF"\n', 1, "an escape that stands for no character"),
        ('a: "\\q"\n', 1, "escape"),
        ("a: 1\nb: \x07\n", 2, "a control character"),
        ("a: 1\nb: \x00\n", 2, "a control character"),
        (b"a: 1\nb: \xfc\n", 2, "the text is not UTF-8"),
        (b"\xff\xfea", 0, "the text is not UTF-8"),
        ("a: !x!y z\n", 1, "starts with ! must stand in quotes"),
        ("[" * 5000, 1, f"more than {MAX_DEPTH} deep"),
        (b"# " + b"x" * MAX_FILE_BYTES, 0, "larger than 4 MiB"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, str | bytes) else value,
)  # fmt: skip
def test_what_is_no_yaml(text: str | bytes, line: int, said: str) -> None:
    error = refused(text)
    assert error.line == line
    assert said in error.problem
    assert str(error).startswith(f"InvalidManifest: f.yaml{f':{line}' if line else ''}: ")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "text",
    ["a: *hunter2!\n", "a: &hunter2! x\n", "a: !hunter2!x y\n", "a: %hunter2\n", "a: `hunter2\n", "a: 'hunter2\n",
     "a: hunter2: x\n", 'a: "hunter2"x\n', "a: [hunter2\n", "{hunter2: [}\n", "%YAML hunter2\n---\n", "a: !<hunter2\n",
     "a: |hunter2\n"],
)  # fmt: skip
def test_messages_repeat_nothing(text: str) -> None:
    error = refused(text)
    assert "hunter" not in f"{error} {error.problem}"


def test_the_documents_before_the_mistake_are_given() -> None:
    found = documents("f", io.BytesIO(b"a: 1\n---\nb: 2\n---\nc: [\n"))
    assert next(found).plain() == {"a": 1}
    assert next(found).plain() == {"b": 2}
    with pytest.raises(ManifestError):
        next(found)


@pytest.mark.parametrize("content", [b"", b"\n", b"# nothing\n", b"---\n---\n", b"~\n", b"\xef\xbb\xbf"])
def test_empty_files(content: bytes) -> None:
    assert list(documents("f", io.BytesIO(content))) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(encoding: str) -> None:
    (root,) = documents("f", io.BytesIO("a: ü\n".encode(encoding)))
    assert root.plain() == {"a": "ü"}
    assert root.locate(("a",)) == (1, 1)


class TestBounds:
    def test_billion_laughs(self) -> None:
        text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
        text += "".join(f"{c}: &{c} [{','.join(['*' + chr(ord(c) - 1)] * 9)}]\n" for c in "bcdefghi")
        error = refused(text)
        assert "expand to more than 1 MiB" in error.problem
        assert error.line == 6

    def test_one_large_value_many_times(self) -> None:
        assert "expand" in refused(f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 200}]\n").problem

    def test_by_merging(self) -> None:
        entries = ", ".join(f"k{n}: 1" for n in range(1000))
        assert "expand" in refused(f"a: &a {{{entries}}}\nb: [{'{<<: *a}, ' * 200}]\n").problem

    def test_usual_aliases_are_fine(self) -> None:
        assert plain(f"a: &a {{x: 1}}\nb: [{', '.join(['*a'] * 1000)}]\n")["b"] == [{"x": 1}] * 1000

    def test_every_document_has_its_own_bound(self) -> None:
        text = f"a: &a {'x' * 10_000}\nb: [{'*a, ' * 90}]\n---\n"
        assert len(list(compose("f", text * 3))) == 4

    def test_anchors_end_with_their_document(self) -> None:
        assert refused("a: &a 1\n---\nb: *a\n").line == 3

    def test_depth_through_aliases(self) -> None:
        nest = "[" * 60, "]" * 60
        assert "deep" in refused(f"- &a {nest[0]}{nest[1]}\n- {nest[0]}*a{nest[1]}\n").problem

    def test_deepest(self) -> None:
        assert one("[" * MAX_DEPTH + "]" * MAX_DEPTH).height == MAX_DEPTH
        assert "deep" in refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).problem
