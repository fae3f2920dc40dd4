"""Endpoints: what can work, and what they hide."""

from __future__ import annotations

from typing import Any

import pytest

from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.push.endpoint import WriteEndpoint


@pytest.mark.parametrize(
    ("url", "push_url"),
    [
        ("http://pyroscope:4040", "http://pyroscope:4040/push.v1.PusherService/Push"),
        ("https://pyroscope/", "https://pyroscope/push.v1.PusherService/Push"),
        ("https://gw.example/pyro/scope/", "https://gw.example/pyro/scope/push.v1.PusherService/Push"),
        ("http://[fd00::1]:4040", "http://[fd00::1]:4040/push.v1.PusherService/Push"),
    ],
)
def test_push_url(url: str, push_url: str) -> None:
    assert WriteEndpoint(url).push_url == push_url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pyroscope:4040",
        "ftp://pyroscope",
        "http://",
        "http://:4040",
        "http://me:hunter2@pyroscope",
        "http://hunter2@pyroscope",
        "http://pyroscope?key=hunter2",
        "http://pyroscope#hunter2",
        "http://pyroscope?",
        "http://pyroscope:99999",
        "http://pyroscope:0",
        "http://pyro scope",
        "http://pyroscope/\r\n",
        "http://[::1",
    ],
)
def test_urls_that_cannot_work(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        WriteEndpoint(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"basic_auth": ("me", "hunter2"), "bearer_token": "hunter2"},
        {"bearer_token": "hunter2", "headers": (("authorization", "hunter2"),)},
        {"basic_auth": ("m:e", "hunter2")},
        {"bearer_token": "hunter2\n"},
        {"tenant_id": "hunter2\r\nX: y"},
        {"tenant_id": "a", "headers": (("x-scope-orgid", "b"),)},
        {"headers": (("Host", "hunter2"),)},
        {"headers": (("content-type", "hunter2"),)},
        {"headers": (("X Y", "hunter2"),)},
        {"headers": (("X", "hünter2"),)},
        {"remote_timeout": 0.0},
        {"min_backoff": 0.0},
        {"min_backoff": 5.0, "max_backoff": 1.0},
        {"max_retries": -1},
        {"external_labels": Labels({"a-b": "x"})},
    ],
)
def test_settings_that_cannot_work(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        WriteEndpoint("http://pyroscope", **fields)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({"tenant_id": "team-a"}, ("X-Scope-OrgID", "team-a")),
        ({"bearer_token": "hunter2"}, ("Authorization", "Bearer hunter2")),
        ({"basic_auth": ("me", "hunter:2")}, ("Authorization", "Basic bWU6aHVudGVyOjI=")),
        ({"headers": (("X-Key", "hunter2"),)}, ("X-Key", "hunter2")),
    ],
)
def test_headers_are_sent_and_not_shown(fields: dict[str, Any], header: tuple[str, str]) -> None:
    endpoint = WriteEndpoint("http://pyroscope", **fields)
    assert endpoint.request_headers() == [header]
    assert "hunter" not in repr(endpoint)
