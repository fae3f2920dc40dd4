"""Service accounts with the rights that the operator needs, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.harness.build import ROOT
from e2e.harness.cluster import Cluster

_GROUP = "pyroscope-operator.dev"
PODS: dict[str, Any] = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}
_KINDS = ("pyroscopescrapes", "pyroscopewrites")
OBJECTS: dict[str, Any] = {"apiGroups": [_GROUP], "resources": [*_KINDS], "verbs": ["get", "list", "watch"]}
STATUS: dict[str, Any] = {"apiGroups": [_GROUP], "resources": [f"{kind}/status" for kind in _KINDS], "verbs": ["patch"]}
EVENTS: dict[str, Any] = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
LEASES: dict[str, Any] = {
    "apiGroups": ["coordination.k8s.io"],
    "resources": ["leases"],
    "verbs": ["get", "create", "update"],
}
SECRETS: dict[str, Any] = {"apiGroups": [""], "resources": ["secrets", "configmaps"], "verbs": ["get"]}
ALL = (PODS, OBJECTS, STATUS, EVENTS, LEASES, SECRETS)


WHOLE_CLUSTER, NAMESPACE_LABELS, SOME_NAMESPACES = (
    "RBAC for the whole cluster",
    "RBAC for labels of namespaces",
    "RBAC for some namespaces only",
)
"""Headings in docs/policy.md."""
OPERATOR = ("pyroscope", "pyroscope-operator")
"""Namespace and name of the service account there."""


def documented(heading: str) -> list[dict[str, Any]]:
    """The manifests under a heading of docs/policy.md, as they stand there."""
    chapter = (ROOT / "docs/policy.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = list(yaml.safe_load_all(chapter.partition("```yaml\n")[2].partition("```")[0]))
    assert found, heading
    return found


class ServiceAccount:
    """One that exists, or will."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster = cluster
        self.namespace, self.name = namespace, name

    @property
    def user(self) -> str:
        """As the API server's audit log calls it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"

    def token(self) -> str:
        return self._cluster.kubectl("create", "token", "-n", self.namespace, self.name).strip()

    def kubeconfig(self, token: Path) -> Path:
        """One that names a file with a token, which is written."""
        token.write_text(self.token())
        return self._cluster.plane.write_kubeconfig(f"kubeconfig-{self.name}", {"tokenFile": str(token)})


class Account(ServiceAccount):
    """A service account in the namespace default, with a ClusterRole of its own."""

    def __init__(self, cluster: Cluster, name: str, rules: Sequence[dict[str, Any]] = ALL) -> None:
        super().__init__(cluster, "default", name)
        self._create()
        self.allow(*rules)
        subject = {"kind": "ServiceAccount", "namespace": "default", "name": name}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        cluster.apply(self._rbac("ClusterRoleBinding", roleRef=reference, subjects=[subject]))

    def _create(self) -> None:
        self._cluster.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.name, "namespace": "default"}}
        )

    def _rbac(self, kind: str, **more: Any) -> dict[str, Any]:
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": self.name}, **more}

    def allow(self, *rules: dict[str, Any]) -> None:
        """This, and nothing else from now on."""
        self._cluster.apply(self._rbac("ClusterRole", rules=list(rules)))

    def replace(self) -> None:
        """Another account of the same name: the tokens of the old one are worth nothing."""
        self._cluster.kubectl("delete", "serviceaccount", "-n", "default", self.name)
        self._create()
