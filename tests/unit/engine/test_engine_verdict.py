from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from builders import MIB, manifest, only, spec

from pyroscope_operator.api.unbuilt import UNBUILT, unbuilt
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.engine.verdict import Policy, Verdict, judge
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS

TENANT = Policy(privileged_namespaces=frozenset({"platform"}), body_limit=MIB)
NOBODY = Policy(privileged_namespaces=frozenset(), body_limit=MIB)
STANDALONE = Policy(privileged_namespaces=None, body_limit=MIB)

SECRET = {"name": "credentials", "key": "token"}
ASKING: dict[str, dict[str, Any]] = {
    "annotations.mode": {"annotations": {"mode": "Require"}},
    "annotations.prefix": {"annotations": {"prefix": "example.com"}},
    "namespaceSelector.matchExpressions": {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}},
    "namespaceSelector.matchLabels": {"namespaceSelector": {"matchLabels": {"team": ""}}},
}
"""A spec that asks for each feature that is not built yet."""


def verdict(policy: Policy = TENANT, raw: dict[str, Any] | None = None, namespace: str = "shop", **fields: Any) -> Verdict:
    return judge(ScrapeObject.from_manifest(raw or manifest(namespace=namespace, **fields)), policy)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"port": 6060, "interval": "1m"},
        {"namespaceSelector": {}},
        {"namespaceSelector": {"matchNames": ["shop"]}},
        {"suspend": True},
    ],
)
@pytest.mark.parametrize("policy", [TENANT, NOBODY, STANDALONE])
def test_accepted(policy: Policy, fields: dict[str, Any]) -> None:
    found = verdict(policy, **fields)
    assert found == Verdict("Accepted", "the object is valid")
    assert found.accepted


class TestMinInterval:
    SLOW = Policy(privileged_namespaces=None, body_limit=MIB, min_interval=30)

    @pytest.mark.parametrize("fields", [{"interval": "30s"}, {"interval": "1m"}, {"interval": "0.5m"}])
    def test_an_interval_that_is_allowed(self, fields: dict[str, Any]) -> None:
        given = spec(**fields)
        assert self.SLOW.paced(given) is given
        assert verdict(self.SLOW, **fields).message == "the object is valid"

    @pytest.mark.parametrize("interval", ["1s", "15s", "29999ms"])
    def test_a_shorter_one_is_raised(self, interval: str) -> None:
        fields = {"interval": interval, "profilingConfig": only("memory")}
        raised = self.SLOW.paced(spec(**fields))
        assert (raised.interval, raised.interval_seconds, raised.delta_seconds) == ("30s", 30, 29)
        found = verdict(self.SLOW, **fields)
        assert found.accepted
        assert found.message == "the object is valid; spec.interval is raised to 30s (operator setting minInterval)"

    def test_what_the_object_says_itself_stays(self) -> None:
        raised = self.SLOW.paced(spec(interval="10s", deltaProfilingDuration="4s", scrapeTimeout="7s"))
        assert (raised.delta_seconds, raised.timeout_seconds) == (4, 7)

    def test_a_refusal_says_nothing_of_it(self) -> None:
        assert "minInterval" not in verdict(self.SLOW, interval="15s", forwardTo=[{"name": "gone"}]).message


class TestInvalidSpec:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"port": 0}, "spec.port: must be a port number from 1 to 65535"),
            ({"prot": 1}, "spec.prot: is not a field: did you mean port?"),
            (
                {"params": {"seconds": ["1"]}},
                "spec.params: params must not have the key seconds: set deltaProfilingDuration instead",
            ),
            (
                {"profilingConfig": {"custom": [{"name": "x", "path": "/x"}]}},
                "spec.profilingConfig.custom[0].enabled: is required",
            ),
        ],
    )
    def test_names_the_field_and_the_fix(self, fields: dict[str, Any], message: str) -> None:
        found = verdict(**fields)
        assert found.reason == "InvalidSpec"
        assert found.message.startswith(message)
        assert not found.accepted

    def test_names_all_fields(self) -> None:
        message = verdict(port=0, interval="soon").message
        assert "spec.port: " in message
        assert "; " in message
        assert "spec.interval: " in message

    def test_message_is_bounded_and_says_that_it_was_cut(self) -> None:
        found = verdict(staticTargets=[{"address": f"no port {n}", "labels": {"x": "\n"}} for n in range(100)])
        assert found.reason == "InvalidSpec"
        assert len(found.message) == 1024
        assert found.message.endswith("…")

    @pytest.mark.parametrize("broken", [None, 7, "text", [], ["x"]])
    def test_a_spec_that_is_none(self, broken: object) -> None:
        found = verdict(raw={**manifest(), "spec": broken})
        assert found.reason == "InvalidSpec"
        assert found.message.startswith("spec: ")

    def test_a_problem_without_a_field(self) -> None:
        found = verdict(jobName="\ud800")
        assert found.reason == "InvalidSpec"
        assert not found.message.startswith(":")

    def test_values_are_not_repeated(self) -> None:
        assert "hunter2" not in verdict(basicAuth={"password": "hunter2"}, port="hunter2!").message

    def test_comes_before_everything_else(self) -> None:
        assert verdict(port=0, namespaceSelector={"any": True}, annotations={"mode": "Require"}).reason == "InvalidSpec"


class TestNotImplemented:
    def test_the_table_is_complete(self) -> None:
        assert ASKING.keys() == set(UNBUILT)

    @pytest.mark.parametrize("path", UNBUILT)
    def test_names_the_field(self, path: str) -> None:
        found = verdict(STANDALONE, **ASKING[path])
        assert found.reason == "NotImplemented"
        assert f"spec.{path}" in found.message
        assert "remove it" in found.message
        assert not found.accepted

    @pytest.mark.parametrize("path", UNBUILT)
    def test_names_no_other_field(self, path: str) -> None:
        assert unbuilt(spec(**ASKING[path])) == [f"spec.{path}"]

    def test_names_all_fields(self) -> None:
        message = verdict(annotations={"mode": "Require", "prefix": "example.com"}).message
        assert "spec.annotations.mode, spec.annotations.prefix" in message

    @pytest.mark.parametrize(
        "fields",
        [
            {"annotations": {"mode": "Ignore", "prefix": "profiles.grafana.com"}},
            {"annotations": {}},
            {"forwardTo": [], "headers": [], "relabelings": []},
            {"proxyFromEnvironment": False},
            {"namespaceSelector": {"matchLabels": {}, "matchExpressions": []}},
            {"tlsConfig": None, "sampling": None},
            {"tlsConfig": {"insecureSkipVerify": False}},
        ],
    )
    def test_defaults_ask_for_nothing(self, fields: dict[str, Any]) -> None:
        assert verdict(**fields).accepted

    def test_comes_before_the_policy(self) -> None:
        assert verdict(annotations={"mode": "Require"}, namespaceSelector={"any": True}).reason == "NotImplemented"


class TestPolicy:
    CROSSING = (
        ({"namespaceSelector": {"any": True}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchNames": ["other"]}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchNames": ["shop", "other"]}}, "spec.namespaceSelector"),
        ({"staticTargets": [{"address": "db:6060"}]}, "spec.staticTargets"),
        ({"selector": {}, "staticTargets": [{"address": "db:6060"}]}, "spec.staticTargets"),
    )

    @pytest.mark.parametrize(("fields", "path"), CROSSING)
    @pytest.mark.parametrize("policy", [TENANT, NOBODY])
    def test_not_allowed(self, policy: Policy, fields: dict[str, Any], path: str) -> None:
        found = verdict(policy, **fields)
        assert found.reason == "NamespaceNotAllowed"
        assert found.message.startswith(path)
        assert "'shop'" in found.message
        assert "privilegedNamespaces" in found.message

    @pytest.mark.parametrize("fields", [fields for fields, _ in CROSSING])
    def test_privileged_namespaces_are_exempt(self, fields: dict[str, Any]) -> None:
        assert verdict(TENANT, namespace="platform", **fields).accepted

    @pytest.mark.parametrize("fields", [fields for fields, _ in CROSSING])
    def test_standalone_is_exempt(self, fields: dict[str, Any]) -> None:
        assert verdict(STANDALONE, **fields).accepted


ANY: dict[str, Any] = {"namespaceSelector": {"any": True}}
_TLS = {"cert": {"secret": SECRET}, "keySecret": SECRET}
_OAUTH2 = {"clientId": {"secret": SECRET}, "clientSecret": SECRET, "tokenUrl": "https://sso.example.com/token"}
HAVING: tuple[tuple[dict[str, Any], str], ...] = (
    ({"basicAuth": {"password": SECRET}}, "spec.basicAuth"),
    ({"authorization": {"credentials": SECRET}}, "spec.authorization"),
    ({"oauth2": _OAUTH2}, "spec.oauth2"),
    ({"bearerTokenSecret": SECRET}, "spec.bearerTokenSecret"),
    ({"headers": [{"name": "X-Key", "value": "a"}]}, "spec.headers"),
    ({"tlsConfig": _TLS}, "spec.tlsConfig"),
)


class TestCredentials:
    """They are not for pods of other namespaces unless the administrator says so."""

    @pytest.mark.parametrize(("fields", "path"), HAVING)
    @pytest.mark.parametrize("policy", [TENANT, STANDALONE])
    def test_not_allowed(self, policy: Policy, fields: dict[str, Any], path: str) -> None:
        found = verdict(policy, namespace="platform", **ANY, **fields)
        assert found.reason == "NamespaceNotAllowed"
        assert found.message.startswith(f"{path}: ")
        assert "crossNamespaceCredentials" in found.message

    @pytest.mark.parametrize("fields", [fields for fields, _ in HAVING])
    def test_allowed(self, fields: dict[str, Any]) -> None:
        generous = replace(TENANT, cross_namespace_credentials=True)
        assert verdict(generous, namespace="platform", **ANY, **fields).accepted
        assert verdict(TENANT, **fields).accepted
        assert verdict(TENANT, namespace="platform", **fields, staticTargets=[{"address": "db:1"}]).accepted

    def test_what_is_none(self) -> None:
        tls = {"ca": {"configMap": SECRET}, "insecureSkipVerify": True}
        fields = {"tlsConfig": tls, "proxyUrl": "http://proxy", "enableHTTP2": False}
        assert verdict(TENANT, namespace="platform", **ANY, **fields).accepted

    @pytest.mark.parametrize(("fields", "path"), HAVING)
    def test_static_targets_alone(self, fields: dict[str, Any], path: str) -> None:
        manifests = manifest(namespace="platform", staticTargets=[{"address": "db:1"}], **ANY, **fields)
        assert verdict(raw=manifests).accepted


class TestWrites:
    def of(self, *names: str, default: ObjectRef | None = FLAGS, writes: Collection[ObjectRef] = ()) -> Verdict:
        found = ScrapeObject.from_manifest(manifest(forwardTo=[{"name": name} for name in names]))
        return judge(found, Policy(None, MIB, default_write=default), writes)

    def test_all_are_there(self) -> None:
        assert self.of("a", "b", writes=[ObjectRef("shop", "a"), ObjectRef("shop", "b")]).accepted

    def test_one_is_missing(self) -> None:
        found = self.of("a", "b", "c", writes=[ObjectRef("shop", "a"), ObjectRef("other", "b")])
        assert found.reason == "WriteNotFound"
        assert "there is no PyroscopeWrite shop/b, shop/c" in found.message

    def test_the_flags_are_always_there(self) -> None:
        assert self.of().accepted

    def test_there_is_no_default(self) -> None:
        found = self.of(default=None)
        assert found.reason == "WriteNotFound"
        assert found.message == "no default write: set spec.forwardTo or the operator's --pyroscope-url"
        assert self.of("a", default=None, writes=[ObjectRef("shop", "a")]).accepted

    def test_the_default_is_an_object(self) -> None:
        default = ObjectRef("platform", "main")
        assert self.of(default=default, writes=[default]).accepted
        found = self.of(default=default)
        assert found.reason == "WriteNotFound"
        assert "create the PyroscopeWrite platform/main" in found.message
