"""The real Helm, and what it makes of the chart.

python -m e2e.harness.helm    renews e2e/chart_golden
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from e2e.harness.build import BIN, CACHE, ROOT

CHART = ROOT / "helm/pyroscope-operator"
GOLDEN = ROOT / "e2e/chart_golden"
TABLE = sorted((ROOT / "e2e/chart_values").glob("*.yaml"))
RELEASE, NAMESPACE = "pyroscope-operator", "pyroscope"

Manifest = dict[str, Any]


class Helm:
    """Works in a folder of its own, on one cluster or on none."""

    def __init__(self, folder: Path, kubeconfig: Path | None = None) -> None:
        # Helm keeps what it knows of the kinds of an API server in $HOME.
        homes = dict.fromkeys(("HOME", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"), str(folder))
        self._environment = {**homes, "KUBECONFIG": str(kubeconfig or folder / "none"), "PATH": "/usr/bin:/bin"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(BIN / "helm"), *arguments]
        return subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str) -> str:
        """What it printed."""
        code, out, err = self.ended(self.start(*arguments))
        assert code == 0, f"helm {' '.join(arguments)}: {out}{err}"
        return out

    def refuses(self, *arguments: str) -> str:
        """What it says when it fails, as it must."""
        code, out, err = self.ended(self.start(*arguments))
        assert code, out
        return err

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    def template(self, *arguments: str) -> list[Manifest]:
        """Manifests of the release RELEASE in NAMESPACE, as a first `helm install` would find them."""
        flags = ("--kube-version", "1.36.3", "-n", NAMESPACE)
        return [one for one in yaml.safe_load_all(self.run("template", RELEASE, str(CHART), *flags, *arguments)) if one]


def of_kind(manifests: Iterable[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def deployment(manifests: Iterable[Manifest]) -> tuple[list[str], Manifest]:
    """Arguments of the container, and the container."""
    found = of_kind(manifests, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    return found["args"], found


def golden(manifests: Iterable[Manifest]) -> str:
    """A rendering to read and to compare, without what is only copied into it."""
    kept = [manifest for manifest in manifests if manifest["kind"] != "CustomResourceDefinition"]
    for manifest in kept:
        if manifest["kind"] == "PrometheusRule":
            manifest["spec"]["groups"] = "those of alerts/"
        if manifest["kind"] == "ConfigMap":
            manifest["data"] = dict.fromkeys(manifest["data"], "that of dashboards/")
    return "---\n".join(yaml.safe_dump(manifest, sort_keys=False, width=130) for manifest in kept)


def main() -> None:
    folder = CACHE / "helm"
    folder.mkdir(parents=True, exist_ok=True)
    helm = Helm(folder)
    for old in GOLDEN.glob("*.yaml"):
        old.unlink()
    for values in TABLE:
        (GOLDEN / values.name).write_text(golden(helm.template("-f", str(values))))


if __name__ == "__main__":
    main()
