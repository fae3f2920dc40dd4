"""Relabeling of targets, with the fields and the meaning that it has in Prometheus."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import SeriesLabel, TargetLabel

Action = Literal[
    "replace", "Replace", "keep", "Keep", "drop", "Drop", "hashmod", "HashMod", "labelmap", "LabelMap",
    "labeldrop", "LabelDrop", "labelkeep", "LabelKeep", "lowercase", "Lowercase", "uppercase", "Uppercase",
    "keepequal", "KeepEqual", "dropequal", "DropEqual",
]  # fmt: skip

_WRITE_A_LABEL = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_NAME_ONLY = ("hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_REGEX_ONLY = ("labeldrop", "labelkeep")
_ACTION = "self.action.lowerAscii()"


class RelabelConfig(ApiModel):
    """One relabeling step. Steps run in their order on the labels of each target."""

    source_labels: Annotated[tuple[SeriesLabel, ...], Field(max_length=30), Listed("atomic")] = ()
    """Labels whose values are joined with separator and matched against regex."""
    separator: Annotated[str, Field(max_length=64)] = ";"
    """Put between the joined values."""
    target_label: TargetLabel | None = None
    """Label to write (replace, hashmod, lowercase, uppercase) or to compare with (keepequal, dropequal)."""
    regex: Annotated[str, Field(max_length=2048)] = "(.*)"
    """Regular expression (RE2) that must match the whole value."""
    modulus: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    """Number by which the hash of the joined values is divided; the rest is written to targetLabel. For hashmod."""
    replacement: Annotated[str, Field(max_length=2048)] = "$1"
    """Value to write; $1 or ${1} stands for a group of regex. An empty result removes the label."""
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
            "action",
            "the actions labeldrop and labelkeep take regex only: remove sourceLabels, targetLabel and modulus",
            f"!({_ACTION} in {list(_REGEX_ONLY)}) || "
            "!(has(self.sourceLabels) && size(self.sourceLabels) > 0) && !has(self.targetLabel) && !has(self.modulus)",
            lambda r: r.verb not in _REGEX_ONLY or not (r.source_labels or r.target_label or r.modulus),
        ),
    )


Relabelings = Annotated[tuple[RelabelConfig, ...], Field(max_length=50), Listed("atomic")]
