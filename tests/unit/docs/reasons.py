"""Every reason that the code can put on a condition or on a failure, read from the code itself.

Reasons are the arguments of a few constructors.  What is no constant there has to be one
of `PASSED_ON`: a reason that was made elsewhere.  So nobody can add a reason that is overlooked.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "operator/pyroscope_operator"

UNTOLD = frozenset({"NotRunning", "Relabeled", "NotAnnotated", "OptedOut", "NotSampled"})
"""Reasons of drops that are as they should be: the condition counts them, and doesn't name them."""

MAKERS: Mapping[str, Mapping[str, int]] = {
    "failures": {"FetchError": 0, "ProfileError": 0, "ScrapeError": 0, "AccessError": 0},
    "Accepted": {"Verdict": 0, "ReferenceProblem": 0},
    "Discovered": {"Drop": 1, "NotWanted": 0, "Trouble": 0},
    "Aspect": {"Aspect": 1},
}
"""By what the reason stands on: constructors, and which argument of theirs it is."""

WHERE: Mapping[str, tuple[str, ...]] = {
    "failures": ("scrape", "pprof", "transport"),
    "Accepted": ("engine",),
    "Discovered": ("discovery",),
    "Aspect": ("engine",),
}
"""The packages whose constructors are meant."""

ASPECTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "engine/conditions.py": {
        "aspects": ("Accepted",),
        "_idle": ("Discovered", "Scraping", "Delivering"),
        "_discovered": ("Discovered",),
        "_scraping": ("Scraping",),
        "_delivering": ("Delivering",),
        "_delivery_trouble": ("Delivering",),
        "_ready": ("Ready",),
        "_scrapes_ready": ("Ready",),
        "_nothing_wanted": ("Ready",),
    },
    "engine/write_conditions.py": {
        "write_aspects": ("write:Accepted", "write:Ready"),
        "_delivering": ("write:Delivering",),
    },
}
"""The conditions for which a function makes an Aspect."""

PASSED_ON = frozenset(
    {
        "error.reason",
        "problem.reason",
        "trouble.reason",
        "verdict.reason",
        "seen.verdict.reason",
        "first.reason",
        "worst.reason",
        "delivering.reason",
        "found['Scraping'].reason",
        "self._failure.reason",
        "seen.error.reason",
    }
)
"""Reasons that were made elsewhere and are found there."""


class Unknown(Exception):
    """A reason that can't be told from the code."""


@dataclass
class Source:
    """One module."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(PACKAGE))

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text())

    @cached_property
    def module(self) -> object:
        return import_module("pyroscope_operator." + self.name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))

    @cached_property
    def functions(self) -> dict[str, ast.AST]:
        found = ast.walk(self.tree)
        return {node.name: node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

    def calls(self, makers: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """The function that makes it, and the reason."""
        for scope, function in [("", self.tree), *self.functions.items()]:
            for node in _own(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in makers:
                    for reason in self.values(node.args[makers[node.func.id]], function):
                        yield scope, reason

    def values(self, node: ast.expr | None, function: ast.AST) -> Iterator[str]:
        """What an expression may be. Raises Unknown."""
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.IfExp():
                yield from self.values(node.body, function)
                yield from self.values(node.orelse, function)
            case ast.Name():
                yield from self._named(node, function)
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                for found in _own(self.functions[name]):
                    if isinstance(found, ast.Return):
                        yield from self.values(found.value, self.functions[name])
            case ast.Attribute() if ast.unparse(node) in PASSED_ON:
                return
            case _:
                raise self._unknown(node)

    def _unknown(self, node: ast.expr | None) -> Unknown:
        what = f"{self.name}:{node.lineno}: {ast.unparse(node)}" if node else f"{self.name}: nothing is returned"
        return Unknown(f"{what}: make the reason a constant, or say in PASSED_ON that it was made elsewhere")

    def _named(self, node: ast.Name, function: ast.AST) -> Iterator[str]:
        assigned = [
            found.value
            for found in _own(function)
            if isinstance(found, ast.Assign) and any(isinstance(t, ast.Name) and t.id == node.id for t in found.targets)
        ]
        known = getattr(self.module, node.id, None)
        if not assigned and not isinstance(known, str):
            raise self._unknown(node)
        for value in assigned:
            yield from self.values(value, function)
        if not assigned:
            yield str(known)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What is in it, but not in functions within it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
            yield from _own(node)


def sources(*packages: str) -> Iterator[Source]:
    for package in packages:
        for path in sorted((PACKAGE / package).glob("*.py")):
            yield Source(path)


def reasons() -> set[str]:
    """`<condition>/<reason>`, `failures/<reason>`, and with `write:` before it for the conditions of a PyroscopeWrite."""
    found = {f"failures/{reason}" for reason in (*_made("failures"), *_native())}
    found |= {f"Discovered/{reason}" for reason in _made("Discovered") if reason not in UNTOLD}
    for source in sources(*WHERE["Accepted"]):
        found |= {f"{kind}/{reason}" for _, reason in source.calls(MAKERS["Accepted"]) for kind in _accepted(source.name)}
    found |= {"write:Accepted/Accepted", "write:Accepted/InvalidSpec"}  # verdicts that writes.py takes over as they are
    for source in sources(*WHERE["Aspect"]):
        for function, reason in source.calls(MAKERS["Aspect"]):
            found |= {f"{kind}/{reason}" for kind in ASPECTS[source.name][function]}
    return found


def _made(what: str) -> Iterator[str]:
    for source in sources(*WHERE[what]):
        for _, reason in source.calls(MAKERS[what]):
            yield reason


def _accepted(file: str) -> tuple[str, ...]:
    return {"engine/writes.py": ("write:Accepted",), "engine/verdict.py": ("Accepted",)}.get(file, ("Accepted", "write:Accepted"))


def _native() -> list[str]:
    """Those of the native core."""
    return re.findall(r'Self::\w+ => "(\w+)"', (ROOT / "native/src/refusal.rs").read_text())
