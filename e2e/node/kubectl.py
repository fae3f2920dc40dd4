"""What the tests do to the cluster: nothing but what kubectl and helm can do, so that it may be anybody's."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2e.harness.build import BIN, ROOT

_SECONDS = 180


class Kubectl:
    """kubectl, helm and scripts for one cluster."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        """`folder` takes the caches."""
        self.kubeconfig = kubeconfig
        self._environment = {
            **{name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ},
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "KUBECONFIG": str(kubeconfig),
            "KUBECACHEDIR": str(folder / "kubectl"),
            "HELM_CACHE_HOME": str(folder / "helm"),
            "HELM_CONFIG_HOME": str(folder / "helm"),
            "HELM_DATA_HOME": str(folder / "helm"),
        }

    def command(self, *command: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a program; returns what it printed, with its complaints where they are no reason to stop."""
        done = subprocess.run(
            command, input=stdin, env=self._environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout if check else done.stdout + done.stderr

    def __call__(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        return self.command("kubectl", *arguments, stdin=stdin, check=check)

    def helm(self, *arguments: str) -> str:
        return self.command("helm", *arguments)

    def script(self, text: str) -> str:
        """A script of commands, stopped at the first that fails."""
        return self.command("sh", "-eux", stdin=text)

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "-o", "json"))

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("get", *arguments)["items"]
        return found

    def raw(self, path: str) -> Any:
        """GET of a path of the API server."""
        return json.loads(self("get", "--raw", path))

    def service(self, namespace: str, name: str, port: int, path: str) -> Any:
        """GET of a path of a Service, through the API server: there may be no other way to it."""
        return self.raw(f"/api/v1/namespaces/{namespace}/services/{name}:{port}/proxy{path}")

    def pod(self, namespace: str, name: str, port: int, path: str) -> Any:
        return self.raw(f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}")

    def rollout(self, namespace: str, name: str) -> None:
        """Wait for a Deployment. Raises AssertionError that says what its pods are about."""
        said = self("rollout", "status", "-n", namespace, f"deploy/{name}", "--timeout=90s", check=False)
        if "successfully rolled out" not in said:
            raise AssertionError(f"{said}{self('describe', 'pods', '-n', namespace)[-3000:]}")

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}))

    def condition(self, kind: str, namespace: str, name: str, condition: str) -> str:
        """`<status>/<reason>` of a condition, or nothing."""
        found = self.json("get", kind, name, "-n", namespace).get("status", {}).get("conditions", [])
        return next((f"{one['status']}/{one['reason']}" for one in found if one["type"] == condition), "")
