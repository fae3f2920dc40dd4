"""Which pods an object means: Kubernetes label selectors and namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.selector import LabelRequirement, LabelSelector


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """As Kubernetes decides it; an empty selector matches everything."""
    equal = all(labels.get(name) == value for name, value in selector.match_labels.items())
    return equal and all(_holds(requirement, labels) for requirement in selector.match_expressions)


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":  # a missing label is not in any list
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def unmet(selector: LabelSelector, labels: Mapping[str, str]) -> Iterator[str]:
    """The conditions that these labels of a pod don't meet, in words; none when the selector matches."""
    for name, value in selector.match_labels.items():
        if labels.get(name) != value:
            yield f'matchLabels wants {name}="{value}", {_there_is(name, labels)}'
    for requirement in selector.match_expressions:
        if not _holds(requirement, labels):
            values = f" ({', '.join(requirement.values)})" if requirement.values else ""
            wants = f"matchExpressions wants {requirement.key} {requirement.operator}{values}"
            yield f"{wants}, {_there_is(requirement.key, labels)}"


def _there_is(name: str, labels: Mapping[str, str]) -> str:
    return f'the pod has {name}="{labels[name]}"' if name in labels else f"the pod has no label {name}"


def namespaces(spec: PyroscopeScrapeSpec, own: str) -> frozenset[str] | None:
    """The namespaces that an object in namespace `own` looks at; None: all of them."""
    selector = spec.namespace_selector
    if selector is None:
        return frozenset({own})
    if selector.any_:
        return None
    return frozenset(selector.match_names or {own})
