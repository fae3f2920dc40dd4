"""What an object asks for and this release has not built."""

from typing import Any

import pytest

from pyroscope_operator.api.load import load_scrape
from pyroscope_operator.api.unbuilt import UNBUILT, unbuilt

SECRET = {"name": "s", "key": "k"}


def asked(**fields: Any) -> list[str]:
    return unbuilt(load_scrape({"metadata": {"name": "a"}, "spec": {"selector": {}, **fields}}).spec)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"annotations": {"mode": "Require"}}, "spec.annotations.mode"),
        ({"annotations": {"prefix": "a.b"}}, "spec.annotations.prefix"),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, "spec.namespaceSelector.matchLabels"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            "spec.namespaceSelector.matchExpressions",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unbuilt(fields: dict[str, Any], path: str) -> None:
    assert path in asked(**fields)
    assert path.removeprefix("spec.") in UNBUILT


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"annotations": {"mode": "Ignore", "prefix": "profiles.grafana.com"}},
        {
            "relabelings": [{"targetLabel": "a"}],
            "forwardTo": [],
            "headers": [],
            "tlsConfig": {},
            "proxyFromEnvironment": False,
            "sampling": None,
        },
        {"targetLimit": 1, "labelLimit": 1, "sampling": {"percent": 1}},
        {"namespaceSelector": {"any": True}},
        {"namespaceSelector": {"matchNames": ["a"], "matchLabels": {}}},
        {"clustering": {"enabled": False}, "enableHTTP2": False, "followRedirects": False, "suspend": True},
        {"basicAuth": {"username": SECRET}, "headers": [{"name": "a", "value": "b"}], "proxyUrl": "http://a", "noProxy": "b"},
        {
            "oauth2": {"clientId": {"secret": SECRET}, "clientSecret": SECRET, "tokenUrl": "http://a"},
            "proxyFromEnvironment": True,
        },
        {"bearerTokenSecret": SECRET, "tlsConfig": {"insecureSkipVerify": True}},
        {"authorization": {"credentials": SECRET}},
        {"bodySizeLimit": "1MB", "podTargetLabels": ["app"], "staticTargets": [{"address": "a:1"}]},
        {"scheme": "https", "params": {"a": ["b"]}, "container": "c", "port": 1, "filterRunning": False, "jobName": "j"},
        {"profilingConfig": {"godeltaprofMemory": {"enabled": True}, "pathPrefix": "/a"}},
    ],
)
def test_built(fields: dict[str, Any]) -> None:
    assert asked(**fields) == []
