"""What the chart is rendered to, for every file in chart_values, and what it refuses."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.harness.build import ROOT
from e2e.harness.cluster import Cluster
from e2e.harness.helm import CHART, GOLDEN, NAMESPACE, TABLE, Helm, Manifest, deployment, golden, of_kind
from e2e.harness.rights import NAMESPACE_LABELS, SOME_NAMESPACES, WHOLE_CLUSTER, documented
from pyroscope_operator import __version__
from pyroscope_operator.cli import read_settings
from pyroscope_operator.settings import Settings

_RENEW = "look at the difference; if it is meant: .venv/bin/python -m e2e.harness.helm"
_RIGHTS = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
_SECRET = "s3cret"
_OF_THE_CHART = {"name", "namespace", "listen", "pyroscope-url", "default-write", "watch-namespaces", "files"}
"""Settings that have values of their own."""
_NOT_IN_A_CLUSTER = {"standalone", "secrets-dir", "configmaps-dir", "write-password", "write-bearer-token"}


@pytest.fixture(scope="module")
def helm(binaries: None, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def renderings(helm: Helm) -> dict[str, list[Manifest]]:
    return {values.name: helm.template("-f", str(values)) for values in TABLE}


each = pytest.mark.parametrize("name", [values.name for values in TABLE])


def test_versions_are_those_of_the_package() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["version"] == about["appVersion"] == __version__


@each
def test_lint(helm: Helm, name: str) -> None:
    helm.run("lint", "--strict", str(CHART), "-n", NAMESPACE, "-f", str(ROOT / "e2e/chart_values" / name))


@each
def test_golden(renderings: dict[str, list[Manifest]], name: str) -> None:
    assert golden(copy.deepcopy(renderings[name])) == (GOLDEN / name).read_text(), _RENEW


def test_there_is_no_golden_rendering_of_nothing() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == {values.name for values in TABLE}


@pytest.fixture(scope="module")
def prepared(cluster: Cluster) -> Iterator[Cluster]:
    """With the namespaces of the table, and stand-ins for the kinds of the Prometheus operator."""
    for namespace in (NAMESPACE, "shop", "stock", "grafana"):
        cluster.namespace(namespace)
    kinds = {"PodMonitor": "podmonitors", "ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}
    for kind, plural in kinds.items():
        cluster.apply(_stand_in(kind, plural))
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in kinds.values()]
    cluster.kubectl("wait", "--for=condition=Established", *names, "--timeout=30s")
    yield cluster
    cluster.kubectl("delete", *names)


def _stand_in(kind: str, plural: str) -> Manifest:
    """A CRD that knows no more of the kind than that it has a spec: the real ones are not here."""
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.monitoring.coreos.com",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in"},
        },
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": plural[:-1], "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }


@each
def test_the_api_server_takes_it(prepared: Cluster, renderings: dict[str, list[Manifest]], name: str) -> None:
    """No field is unknown or wrong to it. Nothing is written."""
    wanted = {"apiVersion": "v1", "kind": "List", "items": renderings[name]}
    flags = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    told = prepared.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(wanted))
    assert len(told.splitlines()) == len(renderings[name])


def test_the_api_server_would_not_take_everything(prepared: Cluster, renderings: dict[str, list[Manifest]]) -> None:
    wrong = copy.deepcopy(of_kind(renderings["default.yaml"], "Deployment")[0])
    wrong["spec"]["template"]["spec"]["containers"][0]["imagePolicy"] = "Never"
    flags = ("--server-side", "--dry-run=server", "--validate=strict")
    assert "imagePolicy" in prepared.kubectl("apply", *flags, "-f", "-", stdin=json.dumps(wrong), check=False)


@each
def test_the_operator_understands_the_flags(
    renderings: dict[str, list[Manifest]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, container = deployment(renderings[name])
    command, *flags = arguments
    assert command == "run"
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", NAMESPACE))
    settings = read_settings(flags)
    leases = of_kind(renderings[name], "Lease")
    assert [(lease["metadata"]["namespace"], lease["metadata"]["name"]) for lease in leases] == [settings.lease]
    assert settings.listen == f":{container['ports'][0]['containerPort']}"
    assert settings.default or name in {"default.yaml", "policy.yaml", "full.yaml", "bring-your-own.yaml"}


def test_what_the_flags_say(renderings: dict[str, list[Manifest]]) -> None:
    found = {name: read_settings(deployment(rendering)[0][1:]) for name, rendering in renderings.items()}
    minimal, policy, more = found["minimal.yaml"], found["policy.yaml"], found["settings.yaml"]
    assert (minimal.pyroscope_url, minimal.write_tenant_id) == ("http://pyroscope.monitoring:4040", "platform")
    assert found["existing-object.yaml"].default == ("pyroscope", "default")
    assert found["basic-auth.yaml"].write_external_labels == {"cluster": "eu-1", "region": "1"}
    assert found["basic-auth.yaml"].write_headers == {"X-Team": "platform"}
    assert found["namespaces.yaml"].watch_namespaces == ["shop", "pyroscope"]
    assert policy.privileged_namespaces == ["pyroscope", "platform"] and policy.cross_namespace_credentials
    assert policy.allow_destinations == ["10.1.0.0/16", "fd00:1::/32"]
    assert policy.deny_destinations == ["10.0.0.0/8", "fd00::/8"]
    assert (more.body_size_limit, more.max_connections, more.write_max_retries) == ("8MiB", 1_000_000, 0)
    assert (more.write_retry_on_http_429, more.cross_namespace_credentials) == (False, True)
    assert more.deny_destinations == ["10.0.0.0/8", "172.16.0.0/12"]
    assert more.write_external_labels == {"cluster": "eu-1", "shard": "7"}
    assert (more.log_format, more.log_level) == ("text", "debug")


def test_files_that_flags_name_are_mounted(renderings: dict[str, list[Manifest]]) -> None:
    seen = 0
    for rendering in renderings.values():
        arguments, container = deployment(rendering)
        folders = {mount["mountPath"] for mount in container.get("volumeMounts", ())}
        for argument in arguments:
            if "-file=" in argument:
                seen += 1
                assert str(Path(argument.partition("=")[2]).parent) in folders, argument
    assert seen == 6


def test_every_setting_can_be_set(helm: Helm, tmp_path: Path) -> None:
    fields = {name.replace("_", "-"): field.default for name, field in Settings.model_fields.items()}
    wanted = {
        name: default for name, default in fields.items() if name not in _OF_THE_CHART | _NOT_IN_A_CLUSTER and default is not None
    }
    assert len(wanted) > 20
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"defaultWrite": {"url": "http://pyroscope:4040"}, "settings": wanted}))
    found = read_settings(deployment(helm.template("-f", str(values)))[0][1:])
    assert {name: getattr(found, name.replace("-", "_")) for name in wanted} == wanted


@pytest.mark.parametrize("name", sorted(_OF_THE_CHART - {"files"} | _NOT_IN_A_CLUSTER))
def test_settings_that_are_none_of_this_map(helm: Helm, name: str) -> None:
    """They have values of their own, or would show a secret."""
    assert f"'/settings/{name}'" in helm.refuses("template", str(CHART), "--set", f"settings.{name}=x")


_WRONG = {
    "image.pullPolicy=Sometimes": "image.pullPolicy",
    "image.tag=a b": "image.tag",
    "image.digest=sha256:1": "image.digest",
    "image.name=x": "image",
    "defaultWrite.url=pyroscope:4040": "defaultWrite.url",
    f"defaultWrite.url=https://me:{_SECRET}@pyroscope": "defaultWrite.url",
    "defaultWrite.existingSecret=Secret": "defaultWrite.existingSecret",
    f"defaultWrite.password={_SECRET}": "defaultWrite",
    "defaultWrite.existingObject=name": "defaultWrite.existingObject",
    "defaultWrite.externalLabels.a-b=c": "defaultWrite.externalLabels",
    "defaultWrite.tenantID=a/b": "defaultWrite.tenantID",
    "defaultWrite.tenantID=a": "defaultWrite.url: set it",
    "defaultWrite.url=http://a,defaultWrite.existingObject=a/b": "defaultWrite.existingObject: excludes",
    "defaultWrite.url=http://a,defaultWrite.tls.caSecret=a,defaultWrite.tls.caConfigMap=b": "defaultWrite.tls.caSecret: excludes",
    "defaultWrite.existingObject=a/b,watch.namespaces={c}": "defaultWrite.existingObject: must be in one",
    "annotationDiscovery.prefix=a/b": "annotationDiscovery.prefix",
    "annotationDiscovery.enabled=yes": "annotationDiscovery.enabled",
    "annotationDiscovery.enabled=true,watch.namespaces={shop}": "watch.namespaces: must contain",
    "annotationDiscovery.enabled=true,policy.privilegedNamespaces={shop}": "policy.privilegedNamespaces: must contain",
    "policy.namespaceLabels=true,watch.namespaces={shop}": "policy.namespaceLabels: excludes",
    "watch.namespaces={Shop}": "watch.namespaces",
    "policy.denyDestinations={10.0.0.0}": "policy.denyDestinations",
    "settings.body_size_limit=1MiB": "settings",
    "replicas=2": "replicas",
    "podDisruptionBudget.maxUnavailable=half": "podDisruptionBudget.maxUnavailable",
    "service.port=0": "service.port",
    "serviceAccount.create=false": "serviceAccount.name",
    "metrics.podMonitor.interval=30": "metrics.podMonitor.interval",
    "unknown=1": "unknown",
}


@pytest.mark.parametrize("wrong", _WRONG, ids=[re.sub(r"[^-\w.=]", "", wrong) for wrong in _WRONG])
def test_wrong_values_are_refused(helm: Helm, wrong: str) -> None:
    said = helm.refuses("template", "x", str(CHART), "-n", NAMESPACE, "--set", wrong)
    # Helm's words for a place in the values: /image/tag, or image.tag.
    assert _WRONG[wrong] in said or f"'/{_WRONG[wrong].replace('.', '/')}" in said, said
    assert _SECRET not in said


def _names(tree: Any, path: str = "") -> set[str]:
    """Of the values in nested maps, down to empty ones and those that are Kubernetes' own."""
    if not isinstance(tree, dict) or not tree:
        return {path}
    return set().union(*(_names(value, f"{path}.{name}") for name, value in tree.items()))


def test_the_schema_and_the_readme_know_every_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def promised(node: dict[str, Any], path: str) -> set[str]:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        closed = node.get("additionalProperties") is False and "patternProperties" not in node
        return set().union(*(promised(one, f"{path}.{name}") for name, one in node["properties"].items())) if closed else {path}

    known = promised(schema, "")
    given = _names(yaml.safe_load((CHART / "values.yaml").read_text()))
    unlimited = {name for name in given - known if any(name.startswith(f"{one}.") for one in known)}
    assert given - unlimited <= known
    assert {one for one in known if one not in given and not any(name.startswith(f"{one}.") for name in given)} == {".global"}
    rows = set(re.findall(r"^\| `([\w.]+)` \|", (CHART / "README.md").read_text(), re.MULTILINE))
    assert {name[1:] for name in given & known} <= rows


def test_values_in_the_readme_are_right(helm: Helm, tmp_path: Path) -> None:
    found = re.findall(r"^```yaml\n(.*?)^```", (CHART / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(found) == 2
    for values in found:
        (tmp_path / "values.yaml").write_text(values)
        arguments, _ = deployment(helm.template("-f", str(tmp_path / "values.yaml")))
        read_settings(arguments[1:])


def test_old_clusters_are_refused(helm: Helm) -> None:
    assert "1.26.9" in helm.refuses("template", str(CHART), "--kube-version", "1.26.9")
    assert helm.run("template", str(CHART), "--kube-version", "v1.27.3-gke.100")


def _rights(manifests: list[Manifest]) -> list[Any]:
    """What they allow to whom, whatever they are called in the cluster."""
    names = {m["metadata"]["name"] for m in manifests if m["kind"] == "ClusterRole"}
    cluster = {name: f"of-the-cluster{'-namespaces' if name.endswith('-namespaces') else ''}" for name in names}
    found = []
    for manifest in manifests:
        if manifest["kind"] in _RIGHTS:
            meta = manifest["metadata"]
            name = cluster.get(meta["name"], meta["name"]) if manifest["kind"].startswith("Cluster") else meta["name"]
            role = dict(manifest.get("roleRef", {}))
            role["name"] = cluster.get(role["name"], role["name"]) if role.get("kind") == "ClusterRole" else role.get("name")
            body = [manifest.get("rules"), role, manifest.get("subjects")]
            found.append([manifest["kind"], meta.get("namespace"), name, json.dumps(body, sort_keys=True)])
    return sorted(found, key=str)


def test_rights_are_the_documented_ones(helm: Helm, renderings: dict[str, list[Manifest]]) -> None:
    """Those that e2e/test_policy.py shows to be enough; that none is too much, the tests on a node show."""
    whole, labels, some = map(documented, (WHOLE_CLUSTER, NAMESPACE_LABELS, SOME_NAMESPACES))
    assert _rights(renderings["default.yaml"]) == _rights(whole)
    assert _rights(renderings["policy.yaml"]) == _rights([*whole, *labels])
    assert _rights(helm.template("--set", "watch.namespaces={shop}")) == _rights(some)
    assert not [m for m in renderings["bring-your-own.yaml"] if m["kind"] in _RIGHTS]


def test_crds_are_those_of_the_repository(renderings: dict[str, list[Manifest]], helm: Helm) -> None:
    """And they stay, unless it is wanted otherwise."""
    wanted = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "crds").iterdir())]
    kept = copy.deepcopy(of_kind(renderings["default.yaml"], "CustomResourceDefinition"))
    for crd in kept:
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert crd["metadata"].pop("labels")["app.kubernetes.io/instance"] == "pyroscope-operator"
    assert kept == wanted
    deleted = of_kind(helm.template("--set", "crds.keep=false"), "CustomResourceDefinition")
    assert len(deleted) == 2 and not [crd for crd in deleted if "annotations" in crd["metadata"]]


def test_copies_are_whole(helm: Helm) -> None:
    values = str(ROOT / "e2e/chart_values/full.yaml")
    rendering = helm.template("-f", values)
    [dashboard] = of_kind(rendering, "ConfigMap")
    assert json.loads(dashboard["data"]["pyroscope-operator.json"]) == json.loads(
        (ROOT / "dashboards/pyroscope-operator.json").read_text()
    )
    [rule] = of_kind(rendering, "PrometheusRule")
    assert rule["spec"] == yaml.safe_load((ROOT / "alerts/pyroscope-operator.yaml").read_text())


def test_nothing_runs_with_more_than_it_needs(renderings: dict[str, list[Manifest]]) -> None:
    for rendering in renderings.values():
        pods = [m["spec"] for m in of_kind(rendering, "Pod")]
        pods += [m["spec"]["template"]["spec"] for m in of_kind(rendering, "Deployment")]
        assert len(pods) >= 2
        for pod in pods:
            assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
            [container] = pod["containers"]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_a_packed_chart_is_the_same(helm: Helm, tmp_path: Path, renderings: dict[str, list[Manifest]]) -> None:
    helm.run("package", str(CHART), "-d", str(tmp_path))
    [archive] = tmp_path.glob("*.tgz")
    flags = ("--kube-version", "1.36.3", "-n", NAMESPACE)
    again = helm.run("template", "pyroscope-operator", str(archive), *flags)
    assert [one for one in yaml.safe_load_all(again) if one] == renderings["default.yaml"]
    assert archive.stat().st_size < 200_000
    shutil.rmtree(tmp_path)
