"""Every option of how a target is reached, in its working and in its failing form: what `test_access.py` applies and checks.

In specs, `$face` stands for the address of a face of the gate, or for that of another part (see `harness.doors`).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]

UP = "up"
"""All targets are up, and a profile has arrived."""


@dataclass(frozen=True)
class Row:
    """An object with one static target, or some pods, and what becomes of it."""

    name: str
    face: str
    want: str
    """UP, the reason of a failure, or `Accepted:` and the reason of that condition."""
    spec: Spec
    says: str = ""
    """Stands in the message, too."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """What all its requests that the gate has let in have in common: keys of its log; those with capitals are headers."""
    pods: int = 0
    """So many pods instead of a static target."""
    host: str = ""
    """Of the static target, instead of the face's address."""
    last: str = ""
    """The face at which its requests arrive in the end, if that isn't the first one."""


# What objects refer to. `@file` is a file of the gate's.

RIGHT, WRONG = "pw-right-5f0c9e", "pw-wrong-b81d27"
BEARER, WRONG_BEARER, API_KEY, KEY = "bearer-right-77d1", "bearer-wrong-e94a", "apikey-right-3c6b", "key-right-a20f"
CLIENT, CLIENT_SECRET, WRONG_CLIENT_SECRET = "scraper-client", "cs-right+/&=:% 4e9a", "cs-wrong-0d5c"
PROXY_PASSWORD = "proxy-right-61ab"

SECRETS: dict[str, dict[str, str]] = {
    "login": {"user": "scraper", "password": RIGHT, "wrong": WRONG, "colon": "scra:per"},
    "tokens": {
        "bearer": BEARER,
        "line": f"{BEARER}\n",
        "wrong": WRONG_BEARER,
        "api": API_KEY,
        "key": KEY,
        "two-lines": "line-one-c2d8\nline-two-f7b3",
        "empty": "",
    },
    "oauth2": {"secret": CLIENT_SECRET, "wrong": WRONG_CLIENT_SECRET, "id": CLIENT},
    "tls": {
        "ca.crt": "@ca.crt",
        "tls.crt": "@client.crt",
        "tls.key": "@client.key",
        "other.crt": "@other-client.crt",
        "other.key": "@other-client.key",
        "expired.crt": "@expired-client.crt",
        "expired.key": "@expired-client.key",
        "broken.key": "-----BEGIN PRIVATE KEY-----\nbroken-key-19c4\n-----END PRIVATE KEY-----\n",
    },
}
CONFIG_MAPS: dict[str, dict[str, str]] = {
    "public": {
        "ca.crt": "@ca.crt",
        "other-ca.crt": "@other-ca.crt",
        "tls.crt": "@client.crt",
        "id": CLIENT,
        "broken.crt": "-----BEGIN CERTIFICATE-----\nthis is none\n-----END CERTIFICATE-----\n",
    },
}
PUBLIC_KEYS = frozenset({"user", "id", "colon", "empty"})
"""Keys of SECRETS whose values are none."""


def secret(name: str, key: str) -> dict[str, str]:
    return {"name": name, "key": key}


def basic(password: str = "password", user: str = "user") -> Spec:
    return {"basicAuth": {"username": secret("login", user), "password": secret("login", password)}}


def bearer(key: str = "bearer") -> Spec:
    return {"bearerTokenSecret": secret("tokens", key)}


def authorization(key: str, **more: str) -> Spec:
    return {"authorization": {"credentials": secret("tokens", key), **more}}


def header(name: str, **source: Any) -> Spec:
    return {"headers": [{"name": name, **source}]}


def oauth2(url: str = "http://$token/", key: str = "secret", **more: Any) -> Spec:
    client = {"configMap": {"name": "public", "key": "id"}}
    return {"oauth2": {"clientId": client, "clientSecret": secret("oauth2", key), "tokenUrl": url, **more}}


def tls(authority: str = "ca.crt", /, **more: Any) -> dict[str, Any]:
    """A tlsConfig with a CA from a ConfigMap, unless it is empty."""
    return {**({"ca": {"configMap": {"name": "public", "key": authority}}} if authority else {}), **more}


def https(authority: str = "ca.crt", /, *, enable_http2: bool = True, **more: Any) -> Spec:
    return {"scheme": "https", "enableHTTP2": enable_http2, "tlsConfig": tls(authority, **more)}


def client(name: str = "tls", key: str = "") -> dict[str, Any]:
    """Parts of a tlsConfig: our certificate."""
    return {"cert": {"secret": secret("tls", f"{name}.crt")}, "keySecret": secret("tls", f"{key or name}.key")}


def proxy(url: str, **more: Any) -> Spec:
    return {"proxyUrl": url, **more}


def prefix(path: str) -> Spec:
    return {"profilingConfig": {"pathPrefix": path}}


BASIC = "Basic " + base64.b64encode(f"scraper:{RIGHT}".encode()).decode()
_HEADERS_ABSENT = {"Authorization": "", "X-Key": ""}

AUTHENTICATION = (
    Row("basic", "basic", UP, basic(), seen={"Authorization": BASIC}),
    Row("basic-pod", "basic", UP, basic(), pods=1),
    Row("basic-wrong", "basic", "Unauthorized", basic("wrong")),
    Row("basic-absent", "basic", "Unauthorized", {}),
    Row("basic-forbidden", "forbidden", "Forbidden", basic()),
    Row("bearer", "bearer", UP, bearer(), seen={"Authorization": f"Bearer {BEARER}"}),
    Row("bearer-pod", "bearer", UP, bearer(), pods=2),
    Row("bearer-line-break-behind", "bearer", UP, bearer("line")),
    Row("bearer-wrong", "bearer", "Unauthorized", bearer("wrong"), pods=1),
    Row("authorization", "bearer", UP, authorization("bearer")),
    Row("authorization-type", "apikey", UP, authorization("api", type="ApiKey"), seen={"Authorization": f"ApiKey {API_KEY}"}),
    Row("authorization-type-wrong", "bearer", "Unauthorized", authorization("bearer", type="ApiKey")),
    Row("header-value", "plain", UP, header("X-Row", value="hello"), seen={"X-Row": "hello", "Authorization": ""}),
    Row("header-secret", "key", UP, header("X-Key", secret=secret("tokens", "key")), seen={"X-Key": KEY}),
    Row("header-secret-wrong", "key", "Unauthorized", header("X-Key", secret=secret("tokens", "wrong"))),
)

OAUTH2 = (
    Row("oauth2", "oauth2", UP, oauth2(scopes=["profiles", "push"], endpointParams={"audience": "shop"})),
    Row("oauth2-many", "oauth2", UP, oauth2(endpointParams={"audience": "many"}), pods=5),
    Row("oauth2-short", "oauth2", UP, oauth2(endpointParams={"audience": "short", "life": "8s"}), pods=2),
    Row("oauth2-tls", "oauth2", UP, oauth2("https://${token-tls}/", tlsConfig=tls())),
    Row("oauth2-tls-no-ca", "oauth2", "CertificateInvalid", oauth2("https://${token-tls}/")),
    Row("oauth2-mtls", "oauth2", UP, oauth2("https://${token-mtls}/", tlsConfig=tls(**client()))),
    Row("oauth2-mtls-none", "oauth2", "ClientCertificateRefused", oauth2("https://${token-mtls}/", tlsConfig=tls())),
    Row("oauth2-proxy", "oauth2", UP, oauth2(endpointParams={"audience": "proxy"}, proxyUrl="http://$proxy")),
    Row("oauth2-proxy-dead", "oauth2", "ProxyUnreachable", oauth2(proxyUrl="http://$dead")),
    Row("oauth2-wrong-secret", "oauth2", "TokenRefused", oauth2(key="wrong")),
    Row("oauth2-wrong-scope", "oauth2", "TokenRefused", oauth2(scopes=["admin"])),
    Row("oauth2-no-server", "oauth2", "TokenUnavailable", oauth2("http://$dead/token")),
    Row("oauth2-server-down", "oauth2", "TokenUnavailable", oauth2("http://${token-down}/token")),
    Row("oauth2-other-server", "oauth2", "TokenUnavailable", oauth2("http://${token-page}/token")),
    Row("oauth2-target-refuses", "bearer", "Unauthorized", oauth2(endpointParams={"audience": "refused"})),
)

TLS = (
    Row("ca-configmap", "tls", UP, https(), seen={"tls": "TLS13", "client": ""}),
    Row("ca-secret", "tls", UP, https("", ca={"secret": secret("tls", "ca.crt")})),
    Row("ca-pod", "tls", UP, https(), pods=2),
    Row("ca-absent", "tls", "CertificateInvalid", https("")),
    Row("ca-other", "tls", "CertificateInvalid", https("other-ca.crt")),
    Row("certificate-unknown-ca", "unknown-ca", "CertificateInvalid", https()),
    Row("skip-verify", "unknown-ca", UP, https("", insecureSkipVerify=True)),
    Row("expired", "expired", "CertificateInvalid", https(), says="expired"),
    Row("expired-skip-verify", "expired", UP, https(insecureSkipVerify=True)),
    Row("wrong-name", "wrong-name", "CertificateInvalid", https()),
    Row("server-name", "wrong-name", UP, https(serverName="other.example")),
    Row("server-name-pod", "wrong-name", UP, https(serverName="other.example"), pods=1),
    Row("server-name-wrong", "tls", "CertificateInvalid", https(serverName="other.example")),
    Row("client-certificate", "mtls", UP, https(**client()), seen={"client": "client"}),
    Row("client-certificate-pod", "mtls", UP, https(**client()), pods=1),
    Row("client-certificate-tls12", "mtls12", UP, https(**client()), seen={"client": "client", "tls": "TLS12"}),
    Row("client-certificate-http1", "mtls", UP, https(enable_http2=False, **client()), seen={"proto": "HTTP/1.1"}),
    Row(
        "client-certificate-configmap",
        "mtls",
        UP,
        https(cert={"configMap": {"name": "public", "key": "tls.crt"}}, keySecret=secret("tls", "tls.key")),
    ),
    Row("client-certificate-absent", "mtls", "ClientCertificateRefused", https()),
    Row("client-certificate-absent-http1", "mtls", "ClientCertificateRefused", https(enable_http2=False)),
    # TLS 1.2 has no word of its own for it.
    Row("client-certificate-absent-tls12", "mtls12", "TLSFailed", https(), says="handshake failure"),
    Row("client-certificate-other", "mtls", "ClientCertificateRefused", https(**client("other"))),
    Row("client-certificate-other-tls12", "mtls12", "ClientCertificateRefused", https(**client("other"))),
    Row("client-certificate-expired", "mtls", "ClientCertificateRefused", https(**client("expired"))),
    Row("max-version", "tls", UP, https(maxVersion="TLS12"), seen={"tls": "TLS12"}),
    Row("max-version-too-low", "tls13", "TLSFailed", https(maxVersion="TLS12")),
    Row("min-version", "tls13", UP, https(minVersion="TLS13"), seen={"tls": "TLS13"}),
    Row("min-version-too-high", "tls12", "TLSFailed", https(minVersion="TLS13")),
    Row("tls-where-none-is", "plain", "TLSFailed", https()),
    Row("no-tls-where-some-is", "tls", "HTTPStatus", {}, says="400"),
    Row("http2", "tls", UP, https(), seen={"proto": "HTTP/2.0"}),
    Row("http2-off", "tls", UP, https(enable_http2=False), seen={"proto": "HTTP/1.1"}),
    Row("http2-only", "h2-only", UP, https(), seen={"proto": "HTTP/2.0"}),
    Row("http2-only-off", "h2-only", "TLSFailed", https(enable_http2=False)),
    Row("http2-not-offered", "http1", UP, https(), seen={"proto": "HTTP/1.1"}),
    Row("basic-over-tls", "tls", UP, {**https(), **basic()}, seen={"Authorization": BASIC, "proto": "HTTP/2.0"}),
)

_KEY_HEADER = header("X-Key", secret=secret("tokens", "key"))

PROXIES = (
    Row("proxy", "plain", UP, proxy("http://$proxy"), seen={"Proxy-Authorization": ""}),
    Row("proxy-pod", "plain", UP, proxy("http://$proxy"), pods=1),
    Row("proxy-basic", "basic", UP, {**proxy("http://$proxy"), **basic()}),
    Row("proxy-tls", "tls", UP, {**proxy("http://$proxy"), **https()}),
    Row("proxy-tls-wrong-name", "wrong-name", "CertificateInvalid", {**proxy("http://$proxy"), **https()}),
    Row("proxy-login-absent", "tls", "ProxyRefused", {**proxy("http://${proxy-login}"), **https()}),
    Row("proxy-login-absent-http", "plain", "ProxyRefused", proxy("http://${proxy-login}")),
    Row("proxy-refuses", "tls", "ProxyRefused", {**proxy("http://${proxy-deny}"), **https()}),
    Row("proxy-dead", "plain", "ProxyUnreachable", proxy("http://$dead")),
    Row("proxy-dead-tls", "tls", "ProxyUnreachable", {**proxy("http://$dead"), **https()}),
    Row("socks", "plain", UP, proxy("socks5://$socks")),
    Row("socks-tls", "tls", UP, {**proxy("socks5://$socks"), **https()}),
    Row("socks-login-absent", "plain", "ProxyRefused", proxy("socks5://${socks-login}")),
    Row("socks-refuses", "plain", "ProxyRefused", proxy("socks5://${socks-deny}")),
    Row("socks-dead", "plain", "ProxyUnreachable", proxy("socks5://$dead")),
    Row("no-proxy", "plain", UP, proxy("http://$dead", noProxy="example.com,127.0.30.0/24")),
    Row("no-proxy-other", "plain", "ProxyUnreachable", proxy("http://$dead", noProxy="example.com,10.0.0.0/8")),
    # That of the environment wants a login, which stands in its URL; a proxyUrl can't have one. As in Go, loopback
    # addresses are never reached through it.
    Row("environment", "key", UP, {"proxyFromEnvironment": True, **_KEY_HEADER}, host="gate.example"),
    Row("environment-tls", "tls13", UP, {"proxyFromEnvironment": True, **https()}, host="gate.example"),
    Row("environment-no-proxy", "plain", "ConnectFailed", {"proxyFromEnvironment": True}, host="direct.example"),
    Row("environment-loopback", "elsewhere", UP, {"proxyFromEnvironment": True}),
    Row("environment-not-asked-for", "plain", "ConnectFailed", {}, host="gate.example"),
    Row("proxy-name", "plain", UP, proxy("http://$proxy"), host="gate.example"),
    Row("proxy-name-tls", "tls", UP, {**proxy("http://$proxy"), **https()}, host="gate.example"),
    Row("socks-name", "tls", UP, {**proxy("socks5://$socks"), **https()}, host="gate.example"),
)

_WITH_ALL = {**bearer(), **header("X-Key", secret=secret("tokens", "key"))}
_ALL_SEEN = {"Authorization": f"Bearer {BEARER}", "X-Key": KEY}

REDIRECTS = (
    Row("redirect-port", "redirect-port", UP, _WITH_ALL, last="plain"),
    Row("redirect-port-pod", "redirect-port", UP, {}, pods=1, last="plain"),
    Row("redirect-to-tls", "redirect-up", UP, {"tlsConfig": tls()}, last="tls"),
    Row("redirect-from-tls", "redirect-down", UP, {**https(), **_WITH_ALL}, last="plain", seen=_HEADERS_ABSENT),
    Row("redirect-elsewhere", "redirect-elsewhere", UP, _WITH_ALL, last="elsewhere", seen=_HEADERS_ABSENT),
    Row("redirect-elsewhere-302", "redirect-elsewhere-302", UP, _WITH_ALL, last="elsewhere", seen=_HEADERS_ABSENT),
    Row("redirect-elsewhere-pod", "redirect-elsewhere", "RedirectRefused", _WITH_ALL, pods=1),
    Row("redirect-loopback", "redirect-loopback", "DestinationDenied", _WITH_ALL),
    Row("redirect-off", "redirect-port", "HTTPStatus", {"followRedirects": False}, says="307"),
    Row("redirect-endless", "redirect-endless", "TooManyRedirects", {}),
    Row("redirect-ten", "bearer", UP, {**_WITH_ALL, **prefix("/hops/10")}, seen=_ALL_SEEN),
    Row("redirect-eleven", "plain", "TooManyRedirects", prefix("/hops/11")),
)

DESTINATIONS = (
    Row("token-denied", "oauth2", "DestinationDenied", oauth2("http://127.0.0.1:9/token")),
    Row("token-denied-by-name", "oauth2", "DestinationDenied", oauth2("http://localhost:9/token")),
    Row("proxy-denied", "plain", "DestinationDenied", proxy("http://127.0.0.1:9")),
    Row("proxy-denied-tls", "tls", "DestinationDenied", {**proxy("http://localhost:9"), **https()}),
    Row("socks-denied", "plain", "DestinationDenied", proxy("socks5://127.0.0.1:9")),
    Row("token-proxy-denied", "oauth2", "DestinationDenied", oauth2(proxyUrl="http://127.0.0.1:9")),
    Row("nobody-there", "dead", "ConnectFailed", bearer()),
)

REFERENCES = (
    Row("secret-missing", "bearer", "Accepted:SecretNotFound", {"bearerTokenSecret": secret("absent", "token")}, says="absent"),
    Row("secret-key-missing", "bearer", "Accepted:SecretNotFound", bearer("nothing"), says="nothing"),
    Row("secret-missing-pod", "bearer", "Accepted:SecretNotFound", {"bearerTokenSecret": secret("late", "token")}, pods=1),
    Row(
        "configmap-missing",
        "tls",
        "Accepted:SecretNotFound",
        https("", ca={"configMap": {"name": "absent", "key": "ca.crt"}}),
        says="absent",
    ),
    Row("oauth2-secret-missing", "oauth2", "Accepted:SecretNotFound", oauth2(key="nothing"), says="nothing"),
    Row(
        "ca-broken",
        "tls",
        "Accepted:InvalidSecret",
        https("broken.crt"),
        says="tlsConfig: ca holds a certificate that can't be read",
    ),
    Row("key-broken", "mtls", "Accepted:InvalidSecret", https(**client("tls", "broken"))),
    Row("key-of-other", "mtls", "Accepted:InvalidSecret", https(**client("tls", "other"))),
    Row("token-of-two-lines", "bearer", "Accepted:InvalidSecret", bearer("two-lines"), says="two-lines"),
    Row("header-of-two-lines", "key", "Accepted:InvalidSecret", header("X-Key", secret=secret("tokens", "two-lines"))),
    Row("user-with-colon", "basic", "Accepted:InvalidSecret", basic(user="colon"), says="colon"),
)

TABLE = (*AUTHENTICATION, *OAUTH2, *TLS, *PROXIES, *REDIRECTS, *DESTINATIONS, *REFERENCES)
