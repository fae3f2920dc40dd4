"""Names of Kubernetes objects."""

from __future__ import annotations

from typing import NamedTuple


class ObjectRef(NamedTuple):
    """A namespaced object, such as a PyroscopeScrape, by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
