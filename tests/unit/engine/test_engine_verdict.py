from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from builders import MIB, manifest, only, spec

from pyroscope_operator.engine.namespaces import Knowledge
from pyroscope_operator.engine.store import ScrapeObject
from pyroscope_operator.engine.verdict import Policy, Verdict, judge, without_namespaces
from pyroscope_operator.model.ref import ObjectRef
from pyroscope_operator.push.endpoint import FLAGS

TENANT = Policy(privileged_namespaces=frozenset({"platform"}), body_limit=MIB)
NOBODY = Policy(privileged_namespaces=frozenset(), body_limit=MIB)
STANDALONE = Policy(privileged_namespaces=None, body_limit=MIB)

SECRET = {"name": "credentials", "key": "token"}


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


class TestPolicy:
    CROSSING = (
        ({"namespaceSelector": {"any": True}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchNames": ["other"]}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchNames": ["shop", "other"]}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchLabels": {"team": "a"}}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}, "spec.namespaceSelector"),
        ({"namespaceSelector": {"matchNames": ["other"], "matchLabels": {"team": "a"}}}, "spec.namespaceSelector"),
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


class TestWatchedNamespaces:
    """An operator that watches some namespaces only."""

    POLICY = Policy(
        privileged_namespaces=frozenset({"platform"}), body_limit=MIB, watched_namespaces=frozenset({"platform", "a"})
    )

    @pytest.mark.parametrize(
        ("selector", "named"),
        [
            ({"matchNames": ["a", "b"]}, "'b'"),
            ({"matchNames": ["f", "e", "d", "c", "b"]}, "'b', 'c', 'd' and 2 more"),
        ],
    )
    def test_names_what_is_not_watched(self, selector: dict[str, Any], named: str) -> None:
        found = verdict(self.POLICY, namespace="platform", namespaceSelector=selector)
        assert found.reason == "NamespaceNotAllowed"
        assert found.message.startswith(f"spec.namespaceSelector.matchNames: the operator does not watch {named} (")
        assert "watchNamespaces" in found.message

    @pytest.mark.parametrize("names", [{}, {"matchNames": ["a"]}, {"matchNames": ["platform"]}, {"matchNames": ["b"]}])
    def test_labels(self, names: dict[str, Any]) -> None:
        found = verdict(self.POLICY, namespace="platform", namespaceSelector={**names, "matchLabels": {"x": "y"}})
        assert found.reason == "NamespaceNotAllowed"
        assert found.message.startswith("spec.namespaceSelector: ")
        assert "watchNamespaces" in found.message and "matchNames" in found.message

    @pytest.mark.parametrize("selector", [None, {}, {"any": True}, {"matchNames": ["a", "platform"]}])
    def test_any_means_any_of_them(self, selector: dict[str, Any] | None) -> None:
        assert verdict(self.POLICY, namespace="platform", namespaceSelector=selector).accepted

    def test_the_setting_that_a_tenant_can_do_something_about_comes_first(self) -> None:
        assert "privilegedNamespaces" in verdict(self.POLICY, namespace="a", namespaceSelector={"matchNames": ["b"]}).message


class TestNamespacesByLabels:
    BY_LABELS: ClassVar[dict[str, Any]] = {"namespaceSelector": {"matchLabels": {"team": "a"}}}

    @pytest.mark.parametrize(
        ("knowledge", "reason"),
        [
            (Knowledge.PENDING, "NamespacesPending"),
            (Knowledge.REFUSED, "NamespacesUnreadable"),
        ],
    )
    def test_what_is_not_known(self, knowledge: Knowledge, reason: str) -> None:
        found = without_namespaces(spec(**self.BY_LABELS), knowledge)
        assert found is not None
        assert found.reason == reason
        assert found.message.startswith("spec.namespaceSelector: ")
        assert not found.accepted
        assert found.pending == (knowledge is Knowledge.PENDING)

    def test_the_missing_right_is_named(self) -> None:
        found = without_namespaces(spec(**self.BY_LABELS), Knowledge.REFUSED)
        assert found is not None and "list and watch on namespaces" in found.message

    def test_what_is_known(self) -> None:
        assert without_namespaces(spec(**self.BY_LABELS), Knowledge.LISTED) is None

    @pytest.mark.parametrize("knowledge", Knowledge)
    @pytest.mark.parametrize("selector", [None, {"any": True}, {"matchNames": ["a"]}])
    def test_who_does_not_need_them(self, selector: dict[str, Any] | None, knowledge: Knowledge) -> None:
        assert without_namespaces(spec(namespaceSelector=selector), knowledge) is None


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
