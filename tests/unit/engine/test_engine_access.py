"""From an object's fields and Secrets to an Access."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import trustme
from builders import spec

from pyroscope_operator.engine.access import ReferenceProblem, Resolver, credentials, references, resolve
from pyroscope_operator.model.access import DIRECT, Access, OAuth2Settings, ProxySettings, TlsSettings, basic
from pyroscope_operator.model.data import DataRef

_LEAF = trustme.CA().issue_cert("client.example.com")
CERT = _LEAF.cert_chain_pems[0].bytes().decode()
KEY = _LEAF.private_key_pem.bytes().decode()
PRIVATE = "hunter2"
DATA: dict[DataRef, dict[str, bytes]] = {
    DataRef("Secret", "shop", "credentials"): {
        "user": b"scraper",
        "password": b"hunter2",
        "newline": b"hunter2\r\n\n",
        "empty": b"\n",
        "umlaut": "hünter2".encode(),
        "two-lines": b"hunter2\nX-A: b",
        "colon": b"hunter2:x",
        "latin": b"hunter2\xfc",
        "blank": b"hunter2 ",
        "key": KEY.encode(),
        "cert": CERT.encode(),
    },
    DataRef("ConfigMap", "shop", "public"): {"ca": CERT.encode(), "client": b"client-1"},
}


def lookup(ref: DataRef) -> Mapping[str, bytes]:
    if ref not in DATA:
        raise ReferenceProblem("SecretNotFound", f"{ref} does not exist: create it")
    return DATA[ref]


def secret(key: str, name: str = "credentials") -> dict[str, str]:
    return {"name": name, "key": key}


def access(**fields: Any) -> Access:
    return resolve(spec(**fields), "shop", lookup)


CA = {"configMap": {"name": "public", "key": "ca"}}
MUTUAL = {"cert": {"secret": secret("cert")}, "keySecret": secret("key")}
OAUTH2 = {
    "clientId": {"configMap": {"name": "public", "key": "client"}},
    "clientSecret": secret("newline"),
    "tokenUrl": "https://sso.example.com/token",
}


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, DIRECT),
        ({"enableHTTP2": False}, Access(http2=False)),
        (
            {"basicAuth": {"username": secret("user"), "password": secret("newline")}},
            Access(authorization=basic("scraper", PRIVATE)),
        ),
        ({"basicAuth": {"password": secret("umlaut")}}, Access(authorization=basic("", "hünter2"))),
        ({"basicAuth": {"username": secret("user")}}, Access(authorization=basic("scraper", ""))),
        ({"bearerTokenSecret": secret("newline")}, Access(authorization="Bearer hunter2")),
        ({"authorization": {"credentials": secret("password")}}, Access(authorization="Bearer hunter2")),
        (
            {"authorization": {"type": "ApiKey", "credentials": secret("password")}},
            Access(authorization="ApiKey hunter2"),
        ),
        (
            {
                "headers": [
                    {"name": "X-A", "value": "b"},
                    {"name": "X-B", "secret": secret("newline")},
                    {"name": "C", "value": ""},
                ]
            },
            Access(headers=(("X-A", "b"), ("X-B", "hunter2"), ("C", ""))),
        ),
        ({"proxyUrl": "http://proxy:1", "noProxy": "a,b"}, Access(proxy=ProxySettings("http://proxy:1", "a,b"))),
        ({"proxyFromEnvironment": True}, Access(proxy=ProxySettings(from_environment=True))),
        ({"tlsConfig": {}}, DIRECT),
        (
            {"tlsConfig": {"ca": CA, "serverName": "x", "minVersion": "TLS12", **MUTUAL}},
            Access(tls=TlsSettings(ca=CERT, cert=CERT, key=KEY, server_name="x", min_version="TLS12")),
        ),
        (
            {"tlsConfig": {"insecureSkipVerify": True, "maxVersion": "TLS13"}},
            Access(tls=TlsSettings(insecure_skip_verify=True, max_version="TLS13")),
        ),
        (
            {
                "oauth2": {
                    **OAUTH2,
                    "scopes": ["b", "a"],
                    "endpointParams": {"z": "1", "a": "2"},
                    "tlsConfig": {"ca": CA},
                    "proxyUrl": "http://p",
                }
            },
            Access(
                oauth2=OAuth2Settings(
                    "client-1",
                    PRIVATE,
                    "https://sso.example.com/token",
                    ("b", "a"),
                    (("a", "2"), ("z", "1")),
                    TlsSettings(ca=CERT),
                    ProxySettings("http://p"),
                )
            ),
        ),
    ],
)
def test_resolved(fields: dict[str, Any], wanted: Access) -> None:
    found = access(**fields)
    assert found == wanted
    assert PRIVATE not in repr(found)
    assert not found.guarded


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        (
            {"basicAuth": {"password": secret("x", "gone")}},
            "SecretNotFound",
            "Secret shop/gone does not exist: create it, or correct spec.basicAuth.password",
        ),
        (
            {"tlsConfig": {"ca": {"configMap": {"name": "credentials", "key": "x"}}}},
            "SecretNotFound",
            "ConfigMap shop/credentials does not exist: create it, or correct spec.tlsConfig.ca.configMap",
        ),
        (
            {"headers": [{"name": "A", "value": "a"}, {"name": "B", "secret": secret("x")}]},
            "SecretNotFound",
            "Secret shop/credentials has no key x: add it, or correct spec.headers[1].secret",
        ),
        (
            {"bearerTokenSecret": secret("empty")},
            "InvalidSecret",
            "spec.bearerTokenSecret: key empty of Secret shop/credentials is empty",
        ),
        (
            {"authorization": {"credentials": secret("latin")}},
            "InvalidSecret",
            "spec.authorization.credentials: key latin of Secret shop/credentials is not UTF-8 text",
        ),
        ({"bearerTokenSecret": secret("umlaut")}, "InvalidSecret", "printable ASCII"),
        ({"bearerTokenSecret": secret("blank")}, "InvalidSecret", "printable ASCII"),
        ({"bearerTokenSecret": secret("two-lines")}, "InvalidSecret", "line breaks"),
        ({"headers": [{"name": "A", "secret": secret("umlaut")}]}, "InvalidSecret", "spec.headers[0].secret: key umlaut"),
        ({"basicAuth": {"username": secret("colon")}}, "InvalidSecret", "spec.basicAuth.username: key colon"),
        ({"basicAuth": {"password": secret("two-lines")}}, "InvalidSecret", "spec.basicAuth.password: key two-lines"),
        ({"oauth2": {**OAUTH2, "clientSecret": secret("empty")}}, "InvalidSecret", "spec.oauth2.clientSecret: key empty"),
        (
            {"oauth2": {**OAUTH2, "tlsConfig": {"ca": {"secret": secret("key")}}}},
            "InvalidSecret",
            "spec.oauth2.tlsConfig.ca.secret: key key of Secret shop/credentials has no CERTIFICATE in PEM form",
        ),
        (
            {"tlsConfig": {**MUTUAL, "keySecret": secret("cert")}},
            "InvalidSecret",
            "spec.tlsConfig.keySecret: key cert of Secret shop/credentials has no PRIVATE KEY in PEM form",
        ),
    ],
)
def test_what_can_not_be_used(fields: dict[str, Any], reason: str, message: str) -> None:
    with pytest.raises(ReferenceProblem) as caught:
        access(**fields)
    assert caught.value.reason == reason
    assert message in caught.value.message
    assert not any(part in str(caught.value) for part in (PRIVATE, "hünter2", "MII"))
    assert caught.value.__cause__ is None


def test_unreadable_names_the_field() -> None:
    def unreadable(ref: DataRef) -> Mapping[str, bytes]:
        raise ReferenceProblem("SecretUnreadable", f"{ref} can't be read: the API server answered 500")

    with pytest.raises(ReferenceProblem, match=r"can't be read: the API server answered 500 \(spec.bearerTokenSecret\)"):
        resolve(spec(bearerTokenSecret=secret("x")), "shop", unreadable)


def test_the_path_is_that_of_the_caller() -> None:
    with pytest.raises(ReferenceProblem, match=r"correct spec\.endpoints\[2\]\.bearerTokenSecret"):
        resolve(spec(bearerTokenSecret=secret("x", "y")), "shop", lookup, path="spec.endpoints[2]")


def test_references() -> None:
    fields = {
        "oauth2": {**OAUTH2, "tlsConfig": {"ca": {"secret": secret("x", "token-ca")}}},
        "tlsConfig": {"ca": CA, **MUTUAL},
        "headers": [{"name": "A", "value": "a"}, {"name": "B", "secret": secret("x", "header")}],
    }
    found = references(spec(**fields), "shop")
    assert {str(ref) for ref in found} == {
        "ConfigMap shop/public",
        "Secret shop/credentials",
        "Secret shop/token-ca",
        "Secret shop/header",
    }
    assert references(spec(), "shop") == frozenset()
    assert references(spec(basicAuth={"username": secret("x", "a"), "password": secret("x", "b")}), "n") == {
        DataRef("Secret", "n", "a"),
        DataRef("Secret", "n", "b"),
    }


def test_everything_that_is_resolved_is_referred_to() -> None:
    """Or it would never be read."""
    asked: set[DataRef] = set()

    def noting(ref: DataRef) -> Mapping[str, bytes]:
        asked.add(ref)
        return lookup(ref)

    fields = {"oauth2": {**OAUTH2, "tlsConfig": {"ca": CA}}, "tlsConfig": {"ca": CA, **MUTUAL}}
    fields["headers"] = [{"name": "B", "secret": secret("password")}]  # type: ignore[assignment]
    resolve(spec(**fields), "shop", noting)
    assert asked == references(spec(**fields), "shop")


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, False),
        ({"tlsConfig": {"ca": CA}, "proxyUrl": "http://p"}, False),
        ({"tlsConfig": MUTUAL}, True),
        ({"headers": [{"name": "A", "value": "a"}]}, True),
        ({"basicAuth": {"username": secret("user")}}, True),
        ({"oauth2": OAUTH2}, True),
        ({"bearerTokenSecret": secret("password")}, True),
        ({"authorization": {"credentials": secret("password")}}, True),
    ],
)
def test_the_spec_says_what_the_access_has(fields: dict[str, Any], has: bool) -> None:
    assert bool(credentials(spec(**fields))) == has == access(**fields).has_credentials
    assert access(**fields).credentials == ", ".join(credentials(spec(**fields)))
    assert access(**fields).elsewhere().credentials == ""


class TestResolver:
    def test_the_identical_access_as_long_as_nothing_changes(self) -> None:
        data = dict(DATA)
        resolver = Resolver(lambda ref: data[ref])
        mine, ref = spec(bearerTokenSecret=secret("password")), DataRef("Secret", "shop", "credentials")
        first = resolver.resolve("a", mine, "shop")
        assert resolver.resolve("a", mine, "shop") is first
        data[ref] = {**data[ref], "unrelated": b"x"}
        assert resolver.resolve("a", mine, "shop") is first
        assert resolver.resolve("a", spec(bearerTokenSecret=secret("password")), "shop") is first
        data[ref] = {"password": b"hunter3"}
        assert resolver.resolve("a", mine, "shop").authorization == "Bearer hunter3"

    def test_nothing_is_read_again_without_need(self) -> None:
        decoded: list[str] = []

        class Value(bytes):
            def decode(self, *_: Any, **__: Any) -> str:
                decoded.append("once")
                return "hunter2"

        data = {"password": Value(b"hunter2")}
        resolver, mine = Resolver(lambda _: data), spec(bearerTokenSecret=secret("password"))
        for _ in range(3):
            resolver.resolve("a", mine, "shop")
        assert decoded == ["once"]

    def test_what_is_gone_is_noticed(self) -> None:
        data = dict(DATA)

        def find(ref: DataRef) -> Mapping[str, bytes]:
            if ref not in data:
                raise ReferenceProblem("SecretNotFound", "x")
            return data[ref]

        resolver, mine = Resolver(find), spec(bearerTokenSecret=secret("password"))
        resolver.resolve("a", mine, "shop")
        data.clear()
        with pytest.raises(ReferenceProblem):
            resolver.resolve("a", mine, "shop")

    def test_it_forgets(self) -> None:
        resolver = Resolver(lookup)
        resolver.resolve("a", spec(), "shop")
        resolver.resolve("b", spec(), "shop")
        resolver.forget(["b"])
        assert resolver._known.keys() == {"b"}
        assert PRIVATE not in repr(resolver._known)
