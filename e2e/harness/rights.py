"""A service account with the rights that the operator needs, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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


class Account:
    """A service account in the namespace default, with a ClusterRole of its own."""

    def __init__(self, cluster: Cluster, name: str, rules: Sequence[dict[str, Any]] = ALL) -> None:
        self._cluster = cluster
        self.name = name
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

    def token(self) -> str:
        return self._cluster.kubectl("create", "token", "-n", "default", self.name).strip()

    def replace(self) -> None:
        """Another account of the same name: the tokens of the old one are worth nothing."""
        self._cluster.kubectl("delete", "serviceaccount", "-n", "default", self.name)
        self._create()

    def kubeconfig(self, token: Path) -> Path:
        """One that names a file with a token, which is written."""
        token.write_text(self.token())
        return self._cluster.plane.write_kubeconfig(f"kubeconfig-{self.name}", {"tokenFile": str(token)})
