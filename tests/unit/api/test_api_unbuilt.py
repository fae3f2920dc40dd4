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
        ({"targetLimit": 1}, "spec.targetLimit"),
        ({"labelLimit": 1}, "spec.labelLimit"),
        ({"sampling": {"percent": 1}}, "spec.sampling"),
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
        {"annotations": {"mode": "Require", "prefix": "a.b"}},
        {
            "relabelings": [{"targetLabel": "a"}],
            "forwardTo": [],
            "headers": [],
            "tlsConfig": {},
            "proxyFromEnvironment": False,
            "sampling": None,
        },
        {"namespaceSelector": {"any": True}},
        {"namespaceSelector": {"matchNames": ["a"], "matchLabels": {"a": "b"}}},
        {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
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
