"""Which pods, in which namespaces: selectors in the shape that Kubernetes users know."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from pyroscope_operator.api.base import ApiModel, Listed, Rule
from pyroscope_operator.api.formats import DnsLabel, LabelKey, LabelValue

MatchLabels = Annotated[dict[LabelKey, LabelValue], Field(max_length=20)]
_ATOMIC = ConfigDict(json_schema_extra={"x-kubernetes-map-type": "atomic"})


class LabelRequirement(ApiModel):
    """One condition on a label."""

    key: LabelKey
    """Key of the label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """In and NotIn compare the label with `values`; Exists and DoesNotExist look at its presence only."""
    values: Annotated[tuple[LabelValue, ...], Field(max_length=50), Listed("atomic")] = ()
    """The values for In and NotIn, at least one. Must be absent for Exists and DoesNotExist."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "values",
            "values must have at least one entry for the operators In and NotIn, and none for Exists and DoesNotExist",
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            lambda r: (r.operator in {"In", "NotIn"}) == bool(r.values),
        ),
    )


MatchExpressions = Annotated[tuple[LabelRequirement, ...], Field(max_length=20), Listed("atomic")]


class LabelSelector(ApiModel):
    """Selects by labels. All conditions must hold; a selector without conditions selects everything."""

    model_config = _ATOMIC

    match_labels: MatchLabels = Field(default_factory=dict)
    """Labels that must be there with exactly these values."""
    match_expressions: MatchExpressions = ()
    """Further conditions on labels."""


class NamespaceSelector(ApiModel):
    """Selects the namespaces in which pods are looked for.

    Empty or absent: only the namespace of the object itself. Other namespaces are
    available only to objects in namespaces that the administrator has privileged.
    """

    model_config = _ATOMIC

    any_: bool = Field(default=False, alias="any")
    """true: pods of all namespaces. Excludes the other fields."""
    match_names: Annotated[tuple[DnsLabel, ...], Field(max_length=100), Listed("atomic")] = ()
    """Only namespaces with these names."""
    match_labels: MatchLabels = Field(default_factory=dict)
    """Only namespaces that have these labels. Together with matchNames, both must hold."""
    match_expressions: MatchExpressions = ()
    """Only namespaces whose labels meet these conditions. Together with the other fields, all must hold."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "any",
            "any: true selects all namespaces: remove it, or remove matchNames, matchLabels and matchExpressions",
            "!self.any || (!has(self.matchNames) || size(self.matchNames) == 0) && "
            "(!has(self.matchLabels) || size(self.matchLabels) == 0) && "
            "(!has(self.matchExpressions) || size(self.matchExpressions) == 0)",
            lambda s: not (s.any_ and (s.match_names or s.match_labels or s.match_expressions)),
        ),
    )
