"""Which pods an object means: Kubernetes label selectors and namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.api.selector import LabelRequirement, LabelSelector, NamespaceSelector


@dataclass(frozen=True, slots=True)
class Scope:
    """Namespaces in which an object looks for pods."""

    names: frozenset[str] | None
    """Those that it may be; None: whatever their names."""
    labels: NamespaceSelector | None = None
    """What must hold of their labels, too; None: whatever they are."""

    def has(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with these labels is one of them."""
        return (self.names is None or name in self.names) and (self.labels is None or matches(self.labels, labels))

    def within(self, names: frozenset[str]) -> bool:
        """Whether none but these can be among them, whatever their labels."""
        return self.names is not None and self.names <= names


def matches(selector: LabelSelector | NamespaceSelector, labels: Mapping[str, str]) -> bool:
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


def namespaces(spec: PyroscopeScrapeSpec, own: str) -> Scope:
    """The namespaces that an object in namespace `own` looks at."""
    selector = spec.namespace_selector
    if selector is None:
        return Scope(frozenset({own}))
    if selector.any_:
        return Scope(None)
    if selector.match_labels or selector.match_expressions:
        return Scope(frozenset(selector.match_names) or None, selector)
    return Scope(frozenset(selector.match_names or {own}))


def needs_namespaces(spec: PyroscopeScrapeSpec) -> bool:
    """Whether it takes the labels of namespaces to find the pods of an object."""
    selector = spec.namespace_selector
    return spec.selector is not None and selector is not None and bool(selector.match_labels or selector.match_expressions)
