"""Endpoints: what can work, and what they hide."""

from __future__ import annotations

from typing import Any

import pytest

from pyroscope_operator.errors import SettingsError
from pyroscope_operator.model.access import Access, basic
from pyroscope_operator.model.labels import Labels
from pyroscope_operator.model.ref import ObjectRef
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
        {"access": Access(authorization="Bearer hunter2", headers=(("authorization", "hunter2"),))},
        {"access": Access(authorization="Bearer hunter2\n")},
        {"tenant_id": "hunter2\r\nX: y"},
        {"tenant_id": "a", "access": Access(headers=(("x-scope-orgid", "b"),))},
        {"access": Access(headers=(("Host", "hunter2"),))},
        {"access": Access(headers=(("content-type", "hunter2"),))},
        {"access": Access(headers=(("X Y", "hunter2"),))},
        {"access": Access(headers=(("X", "hünter2"),))},
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


def test_nothing_secret_is_shown() -> None:
    access = Access(authorization=basic("me", "hunter2"), headers=(("X-Key", "hunter2"),))
    endpoint = WriteEndpoint("http://pyroscope", access=access, tenant_id="team-a")
    assert endpoint.tenant_header == (("X-Scope-OrgID", "team-a"),)
    assert "hunter2" not in repr(endpoint)
    assert basic("me", "hunter2") not in repr(endpoint)


def test_names() -> None:
    flags, mine = WriteEndpoint("http://p").key, WriteEndpoint("http://p", name="eu", write=ObjectRef("shop", "main")).key
    assert (str(flags), flags.labels) == ("default", ("default", "default"))
    assert (str(mine), mine.labels) == ("shop/main/eu", ("shop/main", "eu"))
