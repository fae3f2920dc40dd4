"""Relabeling of targets, with the fields and the meaning that it has in Prometheus."""

from __future__ import annotations

import json
import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import TARGET_LABEL, SeriesLabel, TargetLabel
from pyroscope_operator.model import pattern

Action = Literal[
    "replace", "Replace", "keep", "Keep", "drop", "Drop", "hashmod", "HashMod", "labelmap", "LabelMap",
    "labeldrop", "LabelDrop", "labelkeep", "LabelKeep", "lowercase", "Lowercase", "uppercase", "Uppercase",
    "keepequal", "KeepEqual", "dropequal", "DropEqual",
]  # fmt: skip

_WRITE_A_LABEL = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_NAME_ONLY = ("hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_REGEX_ONLY = ("labeldrop", "labelkeep")
_EQUAL = ("keepequal", "dropequal")
_NO_REPLACEMENT = ("lowercase", "uppercase")
_ACTION = "self.action.lowerAscii()"
_is_template = re.compile(TARGET_LABEL).search


def _regex(text: str) -> str:
    """A regular expression that RE2 takes; the API server can't tell."""
    try:
        pattern.compiled(text)
    except pattern.PatternError as error:
        raise PydanticCustomError("regex", "must be a regular expression of RE2: {reason}", {"reason": error.reason}) from None
    return text


class RelabelConfig(ApiModel):
    """One relabeling step. Steps run in their order on the labels of each target."""

    source_labels: Annotated[tuple[SeriesLabel, ...], Field(max_length=30), Listed("atomic")] = ()
    """Labels whose values are joined with separator and matched against regex."""
    separator: Annotated[str, Field(max_length=64)] = ";"
    """Put between the joined values."""
    target_label: TargetLabel | None = None
    """Label to write (replace, hashmod, lowercase, uppercase) or to compare with (keepequal, dropequal)."""
    regex: Annotated[str, Field(max_length=2048), AfterValidator(_regex)] = "(.*)"
    """Regular expression (RE2) that must match the whole value; `.` matches line breaks, too. In labelmap, labeldrop and
    labelkeep it must match the whole name of a label.
    """
    modulus: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Number by which the hash of the joined values is divided; the rest is written to targetLabel. For hashmod."""
    replacement: Annotated[str, Field(max_length=2048)] = "$1"
    """Value to write, or for labelmap the name of the new label; $1 or ${1} stands for a group of regex. An empty value
    removes the label.
    """
    action: Action = "replace"
    """What to do, as in Prometheus."""

    @property
    def verb(self) -> str:
        """The action in lower case."""
        return self.action.lower()

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "targetLabel",
            f"targetLabel is required for the actions {', '.join(_WRITE_A_LABEL)}",
            f"!({_ACTION} in {list(_WRITE_A_LABEL)}) || has(self.targetLabel)",
            lambda r: r.verb not in _WRITE_A_LABEL or bool(r.target_label),
        ),
        Rule(
            "targetLabel",
            f"targetLabel must be a plain label name, without $, for the actions {', '.join(_NAME_ONLY)}",
            f"!({_ACTION} in {list(_NAME_ONLY)}) || !has(self.targetLabel) || !self.targetLabel.contains('$')",
            lambda r: r.verb not in _NAME_ONLY or "$" not in (r.target_label or ""),
        ),
        Rule(
            "modulus",
            "modulus is required for the action hashmod",
            f"{_ACTION} != 'hashmod' || has(self.modulus)",
            lambda r: r.verb != "hashmod" or r.modulus is not None,
        ),
        Rule(
            "replacement",
            "replacement must be a label name, in which $1 or ${1} may stand for a group of regex, for the action labelmap",
            f"{_ACTION} != 'labelmap' || self.replacement.matches({json.dumps(TARGET_LABEL)})",
            lambda r: r.verb != "labelmap" or _is_template(r.replacement) is not None,
        ),
        Rule(
            "replacement",
            f"replacement has no meaning for the actions {' and '.join(_NO_REPLACEMENT)}: remove it",
            f"!({_ACTION} in {list(_NO_REPLACEMENT)}) || self.replacement == '$1'",
            lambda r: r.verb not in _NO_REPLACEMENT or r.replacement == "$1",
        ),
        Rule(
            "action",
            "the actions keepequal and dropequal take sourceLabels and targetLabel only: remove the other fields",
            f"!({_ACTION} in {list(_EQUAL)}) || "
            "self.separator == ';' && self.regex == '(.*)' && self.replacement == '$1' && !has(self.modulus)",
            lambda r: r.verb not in _EQUAL or (r.separator, r.regex, r.replacement, r.modulus) == (";", "(.*)", "$1", None),
        ),
        Rule(
            "action",
            "the actions labeldrop and labelkeep take regex only: remove the other fields",
            f"!({_ACTION} in {list(_REGEX_ONLY)}) || "
            "!(has(self.sourceLabels) && size(self.sourceLabels) > 0) && !has(self.targetLabel) && !has(self.modulus) && "
            "self.separator == ';' && self.replacement == '$1'",
            lambda r: (
                r.verb not in _REGEX_ONLY
                or (not (r.source_labels or r.target_label or r.modulus) and (r.separator, r.replacement) == (";", "$1"))
            ),
        ),
    )


Relabelings = Annotated[tuple[RelabelConfig, ...], Field(max_length=50), Listed("atomic")]
