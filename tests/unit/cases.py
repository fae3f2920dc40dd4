"""Specs of a PyroscopeScrape and of a PyroscopeWrite, valid and invalid, and what becomes of each.

The unit tests give them to the models, the e2e tests to a real API server with a running
operator and to `pyroscope-operator check`: all must agree on every row, or one file would
not mean the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

Reason = str
"""Accepted, InvalidSpec or NamespaceNotAllowed."""


@dataclass(frozen=True)
class Case:
    """One spec and what becomes of it in a namespace that is not privileged."""

    name: str
    spec: dict[str, Any]
    reason: Reason = "Accepted"
    """What the operator says, in the condition Accepted, if the object gets that far; and `check`."""
    paths: tuple[str, ...] = ()
    """JSON paths of the fields that this is about."""
    says: str = ""
    """Part of the operator's message."""
    refusal: str = ""
    """Part of what the API server says when it refuses the object, the path aside. Empty: it accepts it."""
    missing: str = ""
    """What it refers to, and no cluster has: says the operator there, and nobody else."""
    why_accepted: str = ""
    """Why the API server accepts an invalid object: no schema can express the rule."""
    kind: str = "PyroscopeScrape"

    @property
    def refused(self) -> bool:
        """Whether the API server refuses it."""
        return bool(self.refusal)

    @property
    def reason_in_cluster(self) -> Reason:
        """What the operator says where nothing is that an object could refer to."""
        return "SecretNotFound" if self.missing else self.reason

    @property
    def privileged_reason(self) -> Reason:
        """What the operator says in a privileged namespace."""
        return "Accepted" if self.reason == "NamespaceNotAllowed" else self.reason

    def manifest(self, name: str = "case", namespace: str = "default") -> dict[str, Any]:
        """The whole object."""
        return {
            "apiVersion": "pyroscope-operator.dev/v1alpha1",
            "kind": self.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": self.spec,
        }

    def __str__(self) -> str:
        return self.name


SECRET = {"name": "credentials", "key": "token"}
CA = {"configMap": {"name": "ca", "key": "ca.crt"}}
OAUTH2 = {"clientId": {"secret": SECRET}, "clientSecret": SECRET, "tokenUrl": "https://sso.example.com/token"}

# What the API server says in its own words
UNKNOWN = 'unknown field "'
REQUIRED = "Required value"
DUPLICATE = "Duplicate value"
ENUM = "Unsupported value"


def _spec(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields`; selects all pods when it does not say what. `selector=None`: without one."""
    return {name: value for name, value in {"selector": {}, **fields}.items() if (name, value) != ("selector", None)}


def good(name: str, **spec: Any) -> Case:
    """A valid spec that everybody may have."""
    return Case(name, _spec(spec))


def referring(name: str, missing: str, **spec: Any) -> Case:
    """A valid spec that refers to a Secret or ConfigMap; `missing` is how it is called first."""
    return Case(name, _spec(spec), missing=missing)


def privileged(name: str, path: str, **spec: Any) -> Case:
    """A valid spec that is for privileged namespaces."""
    return Case(name, _spec(spec), "NamespaceNotAllowed", (path,), "for objects in privileged namespaces")


def bad(name: str, path: str, says: str, **spec: Any) -> Case:
    """An invalid spec that the API server refuses in the same words, by a CEL rule."""
    return Case(name, _spec(spec), "InvalidSpec", (path,), says, refusal=says)


def schema(name: str, path: str, says: str, refusal: str, **spec: Any) -> Case:
    """An invalid spec that the API server refuses in its own words, by the schema."""
    return Case(name, _spec(spec), "InvalidSpec", (path,), says, refusal=refusal)


def model_only(name: str, path: str, says: str, why: str, **spec: Any) -> Case:
    """An invalid spec that the API server accepts."""
    return Case(name, _spec(spec), "InvalidSpec", (path,), says, why_accepted=why)


def profiles(**config: Any) -> dict[str, Any]:
    return {"profilingConfig": config}


def custom(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"profilingConfig": {"custom": [{"enabled": True, "path": "/x", **entry} for entry in entries]}}


NO_DELTA = {"processCPU": {"enabled": False}}
REGEX = "CEL can't tell whether a string is a regular expression"
KEYS = "a structural schema can't bound the keys of a map, and a CEL rule on them exceeds the cost budget"
P = "spec.profilingConfig"

VALID = [
    Case("minimal", {"selector": {"matchLabels": {"app": "checkout"}}, "port": "pprof"}),
    good("all pods of the namespace"),
    privileged(
        "static target only",
        "spec.staticTargets",
        selector=None,
        staticTargets=[{"address": "localhost:4040", "labels": {"service_name": "pyroscope"}}],
    ),
    privileged(
        "static targets by IPv6 and IPv4",
        "spec.staticTargets",
        staticTargets=[{"address": "[2001:db8::1]:80"}, {"address": "10.0.0.1:65535"}],
    ),
    good("match expressions", selector={"matchExpressions": [{"key": "a.b/c", "operator": "In", "values": ["x", ""]}]}),
    good("match expression without values", selector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    privileged("namespaces: any", "spec.namespaceSelector", namespaceSelector={"any": True}),
    good("namespaces: empty", namespaceSelector={}),
    privileged(
        "namespaces: names and labels",
        "spec.namespaceSelector",
        namespaceSelector={"matchNames": ["a", "b-1"], "matchLabels": {"team": "x"}},
    ),
    privileged(
        "namespaces: any with empty lists",
        "spec.namespaceSelector",
        namespaceSelector={"any": True, "matchNames": [], "matchLabels": {}},
    ),
    good("port number", port=6060),
    good("port name with digits", port="8080-http"),
    good("container", container="app", filterRunning=False),
    good("annotations required", annotations={"mode": "Require", "prefix": "example.com"}),
    good("annotations override", annotations={"mode": "Override"}),
    good("annotations ignored", annotations={}),
    good("job and pod labels", jobName="My job: 1", podTargetLabels=["app.kubernetes.io/version", "team"]),
    good("https with parameters", scheme="https", params={"debug": ["0"], "gc": ["1", ""], "empty": []}),
    good("compound durations", interval="1m30s", scrapeTimeout="1.5m"),
    good("timeout above the interval", interval="10s", scrapeTimeout="1m"),
    good("timeout below a second", scrapeTimeout="500ms"),
    good("shortest interval with delta", interval="2s"),
    good("interval of one second without delta", interval="1s", **profiles(**NO_DELTA)),
    good("longest interval", interval="24h"),
    good("delta duration", deltaProfilingDuration="10s"),
    good("delta duration of interval minus one second", interval="3.5s", deltaProfilingDuration="2s"),
    good("delta duration in minutes", interval="3m", deltaProfilingDuration="1m30s"),
    good("nulls are absent", jobName=None, interval=None, profilingConfig={"memory": None, "custom": None}),
    good(
        "delta of a replaced type does not count",
        interval="1s",
        **profiles(memory={"delta": True}, godeltaprofMemory={"enabled": True}, **NO_DELTA),
    ),
    good("all profile types", **profiles(fgprof={"enabled": True}, godeltaprofBlock={"enabled": True}, pathPrefix="/in/ternal")),
    good(
        "no profile type", **profiles(**{t: {"enabled": False} for t in ("memory", "block", "goroutine", "mutex", "processCPU")})
    ),
    good("custom profile", **custom({"name": "Heap_2", "path": "/debug/pprof/heap", "cumulative": True})),
    good("custom profile disabled", **custom({"name": "_x", "enabled": False}, {"name": "z", "delta": True})),
    good("CPU as long as the target likes", interval="1m", scrapeTimeout="31s", **profiles(processCPU={"delta": False})),
    good("disabled CPU may be without delta", **profiles(processCPU={"enabled": False, "delta": False}, fgprof={"delta": False})),
    referring("basic auth", "spec.basicAuth.username", basicAuth={"username": SECRET, "password": SECRET}),
    referring("authorization", "spec.authorization.credentials", authorization={"type": "ApiKey", "credentials": SECRET}),
    referring(
        "OAuth 2.0",
        "spec.oauth2.clientId.secret",
        oauth2={**OAUTH2, "scopes": ["a"], "endpointParams": {"audience": "x"}, "tlsConfig": {"ca": CA}},
    ),
    referring("bearer token", "spec.bearerTokenSecret", bearerTokenSecret=SECRET),
    referring(
        "mutual TLS",
        "spec.tlsConfig.ca.configMap",
        tlsConfig={"ca": CA, "cert": {"secret": SECRET}, "keySecret": SECRET, "minVersion": "TLS12"},
    ),
    good(
        "TLS versions",
        tlsConfig={"minVersion": "TLS12", "maxVersion": "TLS13", "serverName": "x", "insecureSkipVerify": True},
    ),
    good("proxy", proxyUrl="socks5://proxy:1080", noProxy="10.0.0.0/8,.svc"),
    good("proxy of the environment", proxyFromEnvironment=True),
    good("no redirects, no HTTP/2", followRedirects=False, enableHTTP2=False),
    referring(
        "headers",
        "spec.headers[1].secret",
        headers=[{"name": "X-Team", "value": "a"}, {"name": "X-Key", "secret": SECRET}, {"name": "X-No", "value": ""}],
    ),
    good("relabeling with defaults", relabelings=[{"targetLabel": "a"}]),
    good("relabeling: keep", relabelings=[{"sourceLabels": ["__meta_x"], "regex": "a|b", "action": "Keep"}]),
    good(
        "relabeling: hashmod",
        relabelings=[{"sourceLabels": ["a"], "action": "HashMod", "modulus": 3, "targetLabel": "h"}],
    ),
    good("relabeling: labeldrop", relabelings=[{"action": "labeldrop", "regex": "x_.*", "sourceLabels": []}]),
    good(
        "relabeling: label from a group",
        relabelings=[{"sourceLabels": ["a"], "targetLabel": "x_${1}", "replacement": ""}],
    ),
    good("relabeling: labelmap", relabelings=[{"action": "labelmap", "regex": "__meta_(.+)", "replacement": "meta_${1}"}]),
    good("relabeling: keepequal", relabelings=[{"action": "keepequal", "sourceLabels": ["a"], "targetLabel": "b"}]),
    good("relabeling: a regex that is odd, but one to Prometheus, too", relabelings=[{"action": "labeldrop", "regex": "a)|(b"}]),
    good("limits", targetLimit=1, labelLimit=20, bodySizeLimit="1.5MiB"),
    good("no body size limit of its own", bodySizeLimit="0"),
    good("sampling by percent", sampling={"percent": 100}),
    good("sampling by number", sampling={"maxTargets": 5}),
    good("not clustered", clustering={"enabled": False}),
    good("suspended", suspend=True),
]

INVALID = [
    bad("empty", "spec.selector", "at least one of selector and staticTargets must be set: add selector", selector=None),
    bad("no static target", "spec.selector", "at least one of selector and staticTargets", selector=None, staticTargets=[]),
    schema("unknown field", "spec.intervall", "did you mean interval?", UNKNOWN, intervall="15s"),
    schema("snake_case", "spec.scrape_timeout", "did you mean scrapeTimeout?", UNKNOWN, scrape_timeout="15s"),
    schema(
        "unknown field in a profile", f"{P}.fgprof.enable", "did you mean enabled?", UNKNOWN, **profiles(fgprof={"enable": True})
    ),
    schema(
        "godeltaprof has no delta",
        f"{P}.godeltaprofMutex.delta",
        "is not a field",
        UNKNOWN,
        **profiles(godeltaprofMutex={"delta": True}),
    ),
    schema(
        "selector of another kind",
        "spec.selector",
        "must be an object with fields",
        "must be of type object",
        selector="app=checkout",
    ),
    bad("label value", "spec.selector.matchLabels.app", "value of a Kubernetes label", selector={"matchLabels": {"app": "a b"}}),
    schema(
        "label value is a number",
        "spec.selector.matchLabels.app",
        "must be a string",
        "must be of type string",
        selector={"matchLabels": {"app": 1}},
    ),
    schema(
        "operator",
        "spec.selector.matchExpressions[0].operator",
        "must be one of",
        ENUM,
        selector={"matchExpressions": [{"key": "a", "operator": "Equals"}]},
    ),
    bad(
        "In without values",
        "spec.selector.matchExpressions[0].values",
        "at least one entry for the operators In and NotIn",
        selector={"matchExpressions": [{"key": "a", "operator": "In", "values": []}]},
    ),
    bad(
        "Exists with values",
        "spec.selector.matchExpressions[0].values",
        "none for Exists",
        selector={"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]},
    ),
    bad(
        "any namespace and names",
        "spec.namespaceSelector.any",
        "selects all namespaces",
        namespaceSelector={"any": True, "matchNames": ["a"]},
    ),
    bad(
        "any namespace and expressions",
        "spec.namespaceSelector.any",
        "selects all namespaces",
        namespaceSelector={"any": True, "matchExpressions": [{"key": "a", "operator": "Exists"}]},
    ),
    bad(
        "name of a namespace",
        "spec.namespaceSelector.matchNames[1]",
        "lower-case letters",
        namespaceSelector={"matchNames": ["a", "A"]},
    ),
    bad("static target without port", "spec.staticTargets[0].address", "host:port", staticTargets=[{"address": "localhost"}]),
    bad("static target with a path", "spec.staticTargets[0].address", "host:port", staticTargets=[{"address": "http://a:80/x"}]),
    bad("static target on port 0", "spec.staticTargets[0].address", "from 1 to 65535", staticTargets=[{"address": "a:0"}]),
    bad(
        "static target on port 65536", "spec.staticTargets[0].address", "from 1 to 65535", staticTargets=[{"address": "a:65536"}]
    ),
    bad("static target by bare IPv6", "spec.staticTargets[0].address", "in brackets", staticTargets=[{"address": "::1:80"}]),
    schema(
        "static target without address", "spec.staticTargets[0].address", "is required", REQUIRED, staticTargets=[{"labels": {}}]
    ),
    schema(
        "static targets twice",
        "spec.staticTargets[1]",
        "same address",
        DUPLICATE,
        staticTargets=[{"address": "a:1"}, {"address": "a:1"}],
    ),
    bad(
        "static target with a given label",
        "spec.staticTargets[0].labels",
        "must not have __address__",
        staticTargets=[{"address": "a:1", "labels": {"__address__": "b:1"}}],
    ),
    schema("port 0", "spec.port", "from 1 to 65535", "greater than or equal to 1", port=0),
    schema("port 65536", "spec.port", "from 1 to 65535", "less than or equal to 65535", port=65536),
    bad("port in quotes", "spec.port", "port number without quotes", port="6060"),
    bad("port name in upper case", "spec.port", "lower-case letters", port="PProf"),
    schema(
        "port name too long",
        "spec.port",
        "port number without quotes, or a name",
        "Too long: may not be more than 15",
        port="a-very-long-port",
    ),
    schema("port is a boolean", "spec.port", "port number", "must be of type integer,string", port=True),
    bad("container name", "spec.container", "lower-case letters", container="My_App"),
    schema(
        "string for a boolean", "spec.suspend", "must be true or false, without quotes", "must be of type boolean", suspend="true"
    ),
    schema(
        "annotation mode",
        "spec.annotations.mode",
        "must be one of 'Ignore', 'Override' or 'Require'",
        ENUM,
        annotations={"mode": "Always"},
    ),
    bad("annotation prefix", "spec.annotations.prefix", "lower-case letters", annotations={"prefix": "a/b"}),
    schema("empty job name", "spec.jobName", "must not be empty", "at least 1 chars long", jobName=""),
    schema("pod label twice", "spec.podTargetLabels[1]", "same value", DUPLICATE, podTargetLabels=["app", "app"]),
    bad("pod label", "spec.podTargetLabels[0]", "key of a Kubernetes label", podTargetLabels=["a b"]),
    schema(
        "too many pod labels",
        "spec.podTargetLabels",
        "at most 20 entries",
        "must have at most 20 items",
        podTargetLabels=[f"l{n}" for n in range(21)],
    ),
    schema("scheme", "spec.scheme", "must be one of 'http' or 'https'", ENUM, scheme="HTTPS"),
    bad("params.seconds", "spec.params", "set deltaProfilingDuration instead", params={"seconds": ["5"]}),
    schema("parameter that is no list", "spec.params.debug", "must be a list", "must be of type array", params={"debug": "1"}),
    bad("interval without unit", "spec.interval", "duration such as 15s", interval="15"),
    schema("interval as a number", "spec.interval", "must be a string", "must be of type string", interval=15),
    bad("interval in days", "spec.interval", "units: ms, s, m, h", interval="1d"),
    bad("interval too short", "spec.interval", "from 1s to 24h", interval="999ms", **profiles(**NO_DELTA)),
    bad("interval too long", "spec.interval", "from 1s to 24h", interval="24h1s"),
    bad("interval far too long", "spec.interval", "from 1s to 24h", interval="999999h999999h99999h"),
    bad("interval that overflows", "spec.interval", "duration such as 15s", interval="9999999h"),
    bad("interval of one second with CPU", "spec.interval", "at least 2s", interval="1.9s"),
    bad(
        "interval of one second with memory delta",
        "spec.interval",
        "at least 2s",
        interval="1s",
        **profiles(memory={"delta": True}, **NO_DELTA),
    ),
    bad(
        "interval of one second with goroutine delta",
        "spec.interval",
        "at least 2s",
        interval="1s",
        **profiles(goroutine={"delta": True}, **NO_DELTA),
    ),
    bad(
        "interval of one second with custom delta",
        "spec.interval",
        "at least 2s",
        interval="1s",
        **profiles(custom=[{"name": "x", "enabled": True, "path": "/x", "delta": True}], **NO_DELTA),
    ),
    bad("timeout of zero", "spec.scrapeTimeout", "above 0s", scrapeTimeout="0s"),
    bad("timeout too long", "spec.scrapeTimeout", "at most 24h", scrapeTimeout="25h"),
    bad("negative timeout", "spec.scrapeTimeout", "duration such as 15s", scrapeTimeout="-1s"),
    bad("delta duration with a fraction", "spec.deltaProfilingDuration", "whole seconds", deltaProfilingDuration="1.5s"),
    bad("delta duration in milliseconds", "spec.deltaProfilingDuration", "whole seconds", deltaProfilingDuration="5500ms"),
    bad("delta duration of zero", "spec.deltaProfilingDuration", "from 1s to interval minus 1s", deltaProfilingDuration="0s"),
    bad(
        "delta duration of the interval",
        "spec.deltaProfilingDuration",
        "from 1s to interval minus 1s",
        deltaProfilingDuration="15s",
    ),
    bad(
        "delta duration above interval − 1s",
        "spec.deltaProfilingDuration",
        "lower it",
        interval="3.9s",
        deltaProfilingDuration="3s",
    ),
    bad("profile path without slash", f"{P}.memory.path", "starts with '/'", **profiles(memory={"path": "debug/pprof/heap"})),
    bad("profile path with a query", f"{P}.memory.path", "spec.params", **profiles(memory={"path": "/debug/pprof/heap?gc=1"})),
    bad("profile path with a blank", f"{P}.block.path", "blanks", **profiles(block={"path": "/a b"})),
    bad("path prefix without slash", f"{P}.pathPrefix", "must start with '/'", **profiles(pathPrefix="x")),
    bad("path prefix that ends with a slash", f"{P}.pathPrefix", "must not end with '/'", **profiles(pathPrefix="/x/")),
    bad("CPU without delta at 15s", f"{P}.processCPU.delta", "above 30s", **profiles(processCPU={"delta": False})),
    bad(
        "CPU without delta, short timeout",
        f"{P}.processCPU.delta",
        "raise interval and scrapeTimeout",
        interval="1m",
        scrapeTimeout="30s",
        **profiles(processCPU={"delta": False}),
    ),
    bad(
        "fgprof without delta, short interval",
        f"{P}.fgprof.delta",
        "above 30s",
        interval="30s",
        scrapeTimeout="1m",
        **profiles(fgprof={"enabled": True, "delta": False}),
    ),
    schema(
        "custom profile twice",
        f"{P}.custom[1]",
        "same name of entry 0",
        DUPLICATE,
        **custom({"name": "a"}, {"name": "a", "path": "/y"}),
    ),
    bad("custom profile like a built-in one", f"{P}.custom[0].name", "built-in profile type", **custom({"name": "process_cpu"})),
    bad(
        "custom profile like a godeltaprof one",
        f"{P}.custom[1].name",
        "built-in",
        **custom({"name": "a"}, {"name": "godeltaprof_block"}),
    ),
    bad("custom profile's name", f"{P}.custom[0].name", "must not start with a digit", **custom({"name": "1st"})),
    schema(
        "custom profile's long name",
        f"{P}.custom[0].name",
        "at most 63 characters",
        "Too long: may not be more than 63",
        **custom({"name": "a" * 64}),
    ),
    bad("custom profile's path", f"{P}.custom[0].path", "starts with '/'", **custom({"name": "a", "path": "x"})),
    schema(
        "custom profile without path",
        f"{P}.custom[0].path",
        "is required",
        REQUIRED,
        **profiles(custom=[{"name": "a", "enabled": True}]),
    ),
    schema(
        "custom profile without enabled",
        f"{P}.custom[0].enabled",
        "is required",
        REQUIRED,
        **profiles(custom=[{"name": "a", "path": "/x"}]),
    ),
    bad(
        "custom delta and cumulative",
        f"{P}.custom[0].cumulative",
        "exclude each other",
        **custom({"name": "a", "delta": True, "cumulative": True}),
    ),
    schema(
        "too many custom profiles",
        f"{P}.custom",
        "at most 20 entries",
        "must have at most 20 items",
        **custom(*({"name": f"p{n}"} for n in range(21))),
    ),
    bad("two authentications", "spec", "at most one of basicAuth", basicAuth={"username": SECRET}, bearerTokenSecret=SECRET),
    bad("two other authentications", "spec", "at most one of basicAuth", authorization={"credentials": SECRET}, oauth2=OAUTH2),
    bad("empty basic auth", "spec.basicAuth.username", "needs username, password or both", basicAuth={}),
    schema(
        "password in the object",
        "spec.basicAuth.password",
        "must be an object with fields",
        "must be of type object",
        basicAuth={"password": "hunter2"},
    ),
    bad(
        "authorization of type Basic",
        "spec.authorization.type",
        "use basicAuth",
        authorization={"type": "BASIC", "credentials": SECRET},
    ),
    schema(
        "authorization without credentials",
        "spec.authorization.credentials",
        "is required",
        REQUIRED,
        authorization={"type": "Bearer"},
    ),
    schema("secret without key", "spec.bearerTokenSecret.key", "is required", REQUIRED, bearerTokenSecret={"name": "a"}),
    bad("secret's key", "spec.bearerTokenSecret.key", "key of a Secret", bearerTokenSecret={"name": "a", "key": "a/b"}),
    bad(
        "client id of two sources",
        "spec.oauth2.clientId",
        "exactly one",
        oauth2={**OAUTH2, "clientId": {"secret": SECRET, "configMap": SECRET}},
    ),
    bad("token URL", "spec.oauth2.tokenUrl", "http:// or https://", oauth2={**OAUTH2, "tokenUrl": "sso.example.com"}),
    bad("token URL with a password", "spec.oauth2.tokenUrl", "without user", oauth2={**OAUTH2, "tokenUrl": "https://u:p@sso/x"}),
    bad("token URL with a fragment", "spec.oauth2.tokenUrl", "fragment", oauth2={**OAUTH2, "tokenUrl": "https://sso/x#y"}),
    bad("token URL of no host", "spec.oauth2.tokenUrl", "http:// or https://", oauth2={**OAUTH2, "tokenUrl": "https:///x"}),
    bad("proxy of the token URL", "spec.oauth2.noProxy", "needs proxyUrl", oauth2={**OAUTH2, "noProxy": "x"}),
    bad("CA of no source", "spec.tlsConfig.ca", "exactly one of secret and configMap", tlsConfig={"ca": {}}),
    bad("certificate without key", "spec.tlsConfig.keySecret", "belong together", tlsConfig={"cert": {"secret": SECRET}}),
    bad(
        "TLS versions the wrong way round",
        "spec.tlsConfig.minVersion",
        "above maxVersion",
        tlsConfig={"minVersion": "TLS13", "maxVersion": "TLS12"},
    ),
    schema("TLS version", "spec.tlsConfig.minVersion", "must be one of", ENUM, tlsConfig={"minVersion": "1.2"}),
    bad("proxy without scheme", "spec.proxyUrl", "starts with http://", proxyUrl="proxy:3128"),
    bad("proxy with a password", "spec.proxyUrl", "no user, no password", proxyUrl="http://u:p@proxy:3128"),
    bad("proxy with a path", "spec.proxyUrl", "host and port only", proxyUrl="http://proxy:3128/x"),
    bad("noProxy without proxy", "spec.noProxy", "set proxyUrl or remove noProxy", noProxy="x"),
    bad("proxy twice", "spec.proxyFromEnvironment", "excludes proxyUrl", proxyFromEnvironment=True, proxyUrl="http://a"),
    bad(
        "noProxy with the environment's", "spec.proxyFromEnvironment", "excludes proxyUrl", proxyFromEnvironment=True, noProxy="a"
    ),
    bad("header without value", "spec.headers[0]", "exactly one of value and secret", headers=[{"name": "X-A"}]),
    bad("header Authorization", "spec.headers[0].name", "sets itself", headers=[{"name": "Authorization", "value": "x"}]),
    bad("header with a line break", "spec.headers[0].value", "line breaks", headers=[{"name": "X-A", "value": "a\r\nX-B: c"}]),
    bad("header that is not ASCII", "spec.headers[0].value", "printable ASCII", headers=[{"name": "X-A", "value": "ü"}]),
    bad("header with a blank", "spec.headers[0].value", "blanks around it", headers=[{"name": "X-A", "value": "a "}]),
    schema(
        "header twice",
        "spec.headers[1]",
        "same name of entry 0",
        DUPLICATE,
        headers=[{"name": "X-A", "value": "a"}, {"name": "X-A", "value": "b"}],
    ),
    bad(
        "header twice but for its case",
        "spec.headers",
        "must differ",
        headers=[{"name": "X-A", "value": "a"}, {"name": "x-a", "value": "b"}],
    ),
    schema("relabeling action", "spec.relabelings[0].action", "must be one of", ENUM, relabelings=[{"action": "rename"}]),
    bad("relabeling to nowhere", "spec.relabelings[0].targetLabel", "is required for", relabelings=[{"sourceLabels": ["a"]}]),
    bad(
        "relabeling to a bad label",
        "spec.relabelings[0].targetLabel",
        "must be a label name",
        relabelings=[{"targetLabel": "a-b"}],
    ),
    bad(
        "lowercase to a group",
        "spec.relabelings[1].targetLabel",
        "without $",
        relabelings=[{"targetLabel": "a"}, {"action": "lowercase", "sourceLabels": ["a"], "targetLabel": "$1"}],
    ),
    bad(
        "hashmod without modulus",
        "spec.relabelings[0].modulus",
        "required for the action hashmod",
        relabelings=[{"action": "hashmod", "targetLabel": "a"}],
    ),
    schema(
        "hashmod by zero",
        "spec.relabelings[0].modulus",
        "at least 1",
        "greater than or equal to 1",
        relabelings=[{"action": "hashmod", "targetLabel": "a", "modulus": 0}],
    ),
    bad(
        "labelmap to what is no label",
        "spec.relabelings[0].replacement",
        "must be a label name, in which",
        relabelings=[{"action": "labelmap", "replacement": "a-$1"}],
    ),
    bad(
        "uppercase with replacement",
        "spec.relabelings[0].replacement",
        "has no meaning for",
        relabelings=[{"action": "uppercase", "targetLabel": "a", "replacement": "x"}],
    ),
    bad(
        "dropequal with regex",
        "spec.relabelings[0].action",
        "take sourceLabels and targetLabel only",
        relabelings=[{"action": "dropequal", "targetLabel": "a", "regex": "x"}],
    ),
    bad(
        "labeldrop with separator",
        "spec.relabelings[0].action",
        "take regex only",
        relabelings=[{"action": "labeldrop", "regex": "x", "separator": ","}],
    ),
    bad(
        "labelkeep with sources",
        "spec.relabelings[0].action",
        "take regex only",
        relabelings=[{"action": "LabelKeep", "sourceLabels": ["a"]}],
    ),
    schema("target limit of zero", "spec.targetLimit", "at least 1", "greater than or equal to 1", targetLimit=0),
    schema(
        "label limit that is no number", "spec.labelLimit", "must be a whole number", "must be of type integer", labelLimit="5"
    ),
    bad("body size without unit", "spec.bodySizeLimit", "size such as", bodySizeLimit="100"),
    bad("body size with something in front", "spec.bodySizeLimit", "size such as", bodySizeLimit="x5MB"),
    bad("sampling of nothing", "spec.sampling", "exactly one of percent and maxTargets", sampling={}),
    bad("sampling twice", "spec.sampling", "exactly one of percent and maxTargets", sampling={"percent": 5, "maxTargets": 5}),
    schema("sampling 0 percent", "spec.sampling.percent", "at least 1", "greater than or equal to 1", sampling={"percent": 0}),
    schema(
        "sampling 101 percent", "spec.sampling.percent", "at most 100", "less than or equal to 100", sampling={"percent": 101}
    ),
    schema(
        "sampling a fraction",
        "spec.sampling.percent",
        "must be a whole number",
        "must be of type integer",
        sampling={"percent": 0.5},
    ),
    schema("forwarded twice to the same", "spec.forwardTo[1]", "same name", DUPLICATE, forwardTo=[{"name": "a"}, {"name": "a"}]),
    schema("forwarded without a name", "spec.forwardTo[0].name", "is required", REQUIRED, forwardTo=[{}]),
    schema(
        "clustering of another kind",
        "spec.clustering",
        "must be an object with fields",
        "must be of type object",
        clustering=True,
    ),
    schema("list with a null", "spec.podTargetLabels[0]", "must be a string", "must be of type string", podTargetLabels=[None]),
]

MODEL_ONLY = [
    model_only(
        "relabeling by a regex that is none",
        "spec.relabelings[1].regex",
        "must be a regular expression of RE2: a ) is missing",
        REGEX,
        relabelings=[{"targetLabel": "a"}, {"targetLabel": "a", "regex": "(a"}],
    ),
    model_only(
        "relabeling by a regex that looks around",
        "spec.relabelings[0].regex",
        "no look-around",
        REGEX,
        relabelings=[{"action": "labeldrop", "regex": "a(?!b)"}],
    ),
    model_only(
        "relabeling by a regex that is too large",
        "spec.relabelings[0].regex",
        "too large",
        REGEX,
        relabelings=[{"action": "labeldrop", "regex": r"\pL{1000}"}],
    ),
    model_only(
        "label key", "spec.selector.matchLabels[a b]", "key of a Kubernetes label", KEYS, selector={"matchLabels": {"a b": "x"}}
    ),
    model_only(
        "key of a static target's label",
        "spec.staticTargets[0].labels[a-b]",
        "must be of letters, digits and '_'",
        KEYS,
        staticTargets=[{"address": "a:1", "labels": {"a-b": "x"}}],
    ),
    model_only("long name of a parameter", f"spec.params.{'p' * 63}", "at most 256 characters", KEYS, params={"p" * 257: ["x"]}),
]

CASES = VALID + INVALID + MODEL_ONLY


ENDPOINT: dict[str, Any] = {"name": "main", "url": "http://pyroscope:4040"}
E0 = "spec.endpoints[0]"


def _of_write(case: Case) -> Case:
    return replace(case, name=f"write: {case.name}", kind="PyroscopeWrite", spec=_without_selector(case.spec))


def _without_selector(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name != "selector"}


def to(**fields: Any) -> dict[str, Any]:
    """A spec with one endpoint that has these fields."""
    return {"endpoints": [{**ENDPOINT, **fields}]}


WRITE_VALID = [
    _of_write(case)
    for case in (
        good("one endpoint", endpoints=[ENDPOINT]),
        good("ten endpoints", endpoints=[{**ENDPOINT, "name": f"e{number}"} for number in range(10)]),
        good("https with a prefix", **to(url="https://gw.example.com/pyro/scope/")),
        good("IPv6", **to(url="http://[2001:db8::1]:4040")),
        good("tenant", **to(tenantID="team-a|b")),
        good("as patient as can be", **to(remoteTimeout="10m", minBackoff="10m", maxBackoff="10m", maxRetries=1000)),
        good("in a hurry", **to(remoteTimeout="1ms", minBackoff="1ms", maxBackoff="1ms", maxRetries=0, retryOnHTTP429=False)),
        good("headers", **to(headers=[{"name": "X-A", "value": "a"}, {"name": "X-B", "value": "b"}])),
        good("the tenant as a header", **to(headers=[{"name": "X-Scope-OrgID", "value": "a"}])),
        good("no redirects", **to(followRedirects=False, enableHTTP2=False)),
        good("external labels", endpoints=[ENDPOINT], externalLabels={"cluster": "eu-1", "_private": "x", "empty": ""}),
    )
]
WRITE_INVALID = [
    _of_write(case)
    for case in (
        schema("nothing", "spec.endpoints", "is required", REQUIRED),
        schema("no endpoint", "spec.endpoints", "at least one entry", "should have at least 1 items", endpoints=[]),
        schema(
            "eleven endpoints",
            "spec.endpoints",
            "at most 10 entries",
            "must have at most 10 items",
            endpoints=[{**ENDPOINT, "name": f"e{number}"} for number in range(11)],
        ),
        schema("the same name twice", "spec.endpoints[1]", "same name", DUPLICATE, endpoints=[ENDPOINT, {**ENDPOINT}]),
        schema("no name", f"{E0}.name", "is required", REQUIRED, endpoints=[{"url": "http://a"}]),
        schema("no url", f"{E0}.url", "is required", REQUIRED, endpoints=[{"name": "a"}]),
        bad("name with a dot", f"{E0}.name", "lower-case letters", **to(name="a.b")),
        bad("url without scheme", f"{E0}.url", "must be http(s)://host", **to(url="pyroscope:4040")),
        bad("url with credentials", f"{E0}.url", "without credentials", **to(url="http://me:secret@pyroscope")),
        bad("url with a query", f"{E0}.url", "without credentials, query", **to(url="http://pyroscope?a=b")),
        bad("url with a fragment", f"{E0}.url", "query and fragment", **to(url="http://pyroscope/#x")),
        bad("url with port 0", f"{E0}.url", "must be http(s)://host", **to(url="http://pyroscope:0")),
        bad("url with a blank", f"{E0}.url", "must be http(s)://host", **to(url="http://pyroscope/a b")),
        bad("tenant with a line break", f"{E0}.tenantID", "printable ASCII", **to(tenantID="a\nb")),
        bad("tenant with a blank at its end", f"{E0}.tenantID", "printable ASCII", **to(tenantID="a ")),
        bad(
            "tenant given twice",
            f"{E0}.tenantID",
            "tenantID is sent as X-Scope-OrgID",
            **to(tenantID="a", headers=[{"name": "x-scope-ORGID", "value": "b"}]),
        ),
        bad(
            "header of the push protocol",
            f"{E0}.headers",
            "belongs to the push protocol",
            **to(headers=[{"name": "Connect-Timeout-Ms", "value": "1"}]),
        ),
        bad(
            "header of HTTP",
            f"{E0}.headers[0].name",
            "a header that the operator sets itself",
            **to(headers=[{"name": "content-TYPE", "value": "a"}]),
        ),
        bad("no time at all", f"{E0}.remoteTimeout", "remoteTimeout must be above 0s", **to(remoteTimeout="0s")),
        bad("too much time", f"{E0}.remoteTimeout", "at most 10m", **to(remoteTimeout="601s")),
        bad("no pause", f"{E0}.minBackoff", "minBackoff must be above 0s", **to(minBackoff="0s")),
        bad("long pause", f"{E0}.maxBackoff", "maxBackoff must be above 0s and at most 10m", **to(maxBackoff="1h")),
        bad(
            "pauses the wrong way round",
            f"{E0}.minBackoff",
            "minBackoff must not be above maxBackoff",
            **to(minBackoff="2s", maxBackoff="1s"),
        ),
        bad("duration without unit", f"{E0}.minBackoff", "must be a duration", **to(minBackoff="5")),
        schema(
            "negative retries",
            f"{E0}.maxRetries",
            "must be at least 0",
            "should be greater than or equal to 0",
            **to(maxRetries=-1),
        ),
        schema("unknown field", f"{E0}.tenantId", "did you mean tenantID?", UNKNOWN, **to(tenantId="a")),
        schema("forwarded on", "spec.forwardTo", "is not a field", UNKNOWN, endpoints=[ENDPOINT], forwardTo=[]),
        bad(
            "two authentications",
            E0,
            "at most one of basicAuth, authorization",
            **to(bearerTokenSecret=SECRET, basicAuth={"password": SECRET}),
        ),
        bad(
            "protected external label",
            "spec.externalLabels",
            "must not have instance, job, namespace, service_name",
            endpoints=[ENDPOINT],
            externalLabels={"job": "x"},
        ),
    )
]
WRITE_MODEL_ONLY = [
    _of_write(case)
    for case in (
        model_only(
            "the operator's own label",
            "spec.externalLabels.__delta__",
            "must not start with a digit or __",
            KEYS,
            endpoints=[ENDPOINT],
            externalLabels={"__delta__": "true"},
        ),
        model_only(
            "external label with a dash",
            "spec.externalLabels[a-b]",
            "must be of letters, digits and '_'",
            KEYS,
            endpoints=[ENDPOINT],
            externalLabels={"a-b": "x"},
        ),
    )
]
WRITES = WRITE_VALID + WRITE_INVALID + WRITE_MODEL_ONLY
ALL = CASES + WRITES
