"""Every option of how a Pyroscope is reached, in its working and in its failing form: what `test_write_access.py` applies."""

from __future__ import annotations

from e2e.access_table import (
    API_KEY,
    BASIC,
    BEARER,
    KEY,
    UP,
    Row,
    Spec,
    authorization,
    basic,
    bearer,
    client,
    header,
    oauth2,
    proxy,
    secret,
    tls,
)

_NOBODY = {"Authorization": "", "X-Key": ""}
_WITH_ALL = {**bearer(), **header("X-Key", secret=secret("tokens", "key"))}


def https(authority: str = "ca.crt", /, *, enable_http2: bool = True, **more: object) -> Spec:
    return {"enableHTTP2": enable_http2, "tlsConfig": tls(authority, **more)}


AUTHENTICATION = (
    Row("plain", "plain", UP, {"tenantID": "shop"}, seen={"Authorization": "", "X-Scope-OrgID": "shop"}),
    Row("basic", "basic", UP, basic(), seen={"Authorization": BASIC}),
    Row("basic-wrong", "basic", "Unauthorized", basic("wrong"), says="401"),
    Row("bearer", "bearer", UP, bearer(), seen={"Authorization": f"Bearer {BEARER}"}),
    Row("bearer-wrong", "bearer", "Unauthorized", bearer("wrong"), says="401"),
    Row("bearer-forbidden", "forbidden", "Unauthorized", bearer(), says="403"),
    Row("authorization", "apikey", UP, authorization("api", type="ApiKey"), seen={"Authorization": f"ApiKey {API_KEY}"}),
    Row("authorization-wrong", "apikey", "Unauthorized", authorization("api"), says="401"),
    Row("header-value", "plain", UP, header("X-Row", value="hello"), seen={"X-Row": "hello"}),
    Row("header-secret", "key", UP, header("X-Key", secret=secret("tokens", "key")), seen={"X-Key": KEY}),
    Row("header-secret-wrong", "key", "Unauthorized", header("X-Key", secret=secret("tokens", "wrong")), says="401"),
)

OAUTH2 = (
    Row("oauth2", "oauth2", UP, oauth2(scopes=["push"], endpointParams={"audience": "write"})),
    Row("oauth2-tls", "oauth2", UP, oauth2("https://${token-tls}/", tlsConfig=tls())),
    Row("oauth2-wrong-secret", "oauth2", "TokenRefused", oauth2(key="wrong")),
    Row("oauth2-no-server", "oauth2", "TokenUnavailable", oauth2("http://$dead/token")),
    Row("oauth2-denied", "oauth2", "DestinationDenied", oauth2("http://127.0.0.1:9/token")),
)

TLS = (
    Row("ca", "tls", UP, https(), seen={"tls": "TLS13", "proto": "HTTP/2.0"}),
    Row("ca-absent", "tls", "CertificateInvalid", https("")),
    Row("ca-other", "tls", "CertificateInvalid", https("other-ca.crt")),
    Row("skip-verify", "unknown-ca", UP, https("", insecureSkipVerify=True)),
    Row("expired", "expired", "CertificateInvalid", https()),
    Row("wrong-name", "wrong-name", "CertificateInvalid", https()),
    Row("server-name", "wrong-name", UP, https(serverName="other.example")),
    Row("client-certificate", "mtls", UP, https(**client()), seen={"client": "client"}),
    Row("client-certificate-absent", "mtls", "ClientCertificateRefused", https()),
    Row("client-certificate-absent-tls12", "mtls12", "TLSFailed", https(), says="handshake failure"),
    Row("client-certificate-other", "mtls", "ClientCertificateRefused", https(**client("other"))),
    Row("min-version-too-high", "tls12", "TLSFailed", https(minVersion="TLS13")),
    Row("max-version", "tls", UP, https(maxVersion="TLS12"), seen={"tls": "TLS12"}),
    Row("http2-off", "tls", UP, https(enable_http2=False), seen={"proto": "HTTP/1.1"}),
    Row("http2-only", "h2-only", UP, https(), seen={"proto": "HTTP/2.0"}),
    Row("tls-where-none-is", "plain", "TLSFailed", https()),
)

PROXIES = (
    Row("proxy", "plain", UP, proxy("http://$proxy")),
    Row("proxy-tls", "tls", UP, {**proxy("http://$proxy"), **https()}),
    Row("proxy-login-absent", "plain", "ProxyRefused", proxy("http://${proxy-login}")),
    Row("proxy-dead", "plain", "ProxyUnreachable", proxy("http://$dead")),
    Row("proxy-denied", "plain", "DestinationDenied", proxy("http://127.0.0.1:9")),
    Row("socks", "plain", UP, proxy("socks5://$socks")),
    Row("no-proxy", "plain", UP, proxy("http://$dead", noProxy="127.0.30.1")),
    Row("environment", "plain", UP, {"proxyFromEnvironment": True}, host="gate.example"),
    Row("environment-not-asked-for", "plain", "Unreachable", {}, host="gate.example"),
)

REDIRECTS = (
    Row("redirect-elsewhere", "redirect-elsewhere", UP, _WITH_ALL, last="elsewhere", seen=_NOBODY),
    Row("redirect-elsewhere-308", "redirect-elsewhere-308", UP, _WITH_ALL, last="elsewhere", seen=_NOBODY),
    Row("redirect-302", "redirect-elsewhere-302", "Redirected", _WITH_ALL, says="302"),
    Row("redirect-off", "redirect-elsewhere", "Redirected", {"followRedirects": False}, says="307"),
    Row("redirect-endless", "redirect-endless", "Redirected", {}, says="more than 10 redirects"),
    Row("redirect-loopback", "redirect-loopback", "DestinationDenied", _WITH_ALL),
    Row("redirect-to-tls", "redirect-up", UP, {"tlsConfig": tls()}, last="tls"),
    Row("redirect-from-tls", "redirect-down", UP, {**https(), **_WITH_ALL}, last="plain", seen=_NOBODY),
)

DESTINATIONS = (
    Row("denied", "receiver", "DestinationDenied", {}),
    Row("nobody-there", "dead", "Unreachable", {}),
)

REFERENCES = (
    Row("secret-missing", "bearer", "Accepted:SecretNotFound", {"bearerTokenSecret": secret("absent", "token")}, says="absent"),
    Row("ca-broken", "tls", "Accepted:InvalidSecret", https("broken.crt"), says="endpoints[0].tlsConfig: ca holds"),
)

TABLE = (*AUTHENTICATION, *OAUTH2, *TLS, *PROXIES, *REDIRECTS, *DESTINATIONS, *REFERENCES)


def url(row: Row) -> str:
    """Of the endpoint; its pushes are told by their path."""
    secure = "tlsConfig" in row.spec and row.name != "redirect-to-tls"
    where = f"{row.host}:${{{row.face}-port}}" if row.host else f"${{{row.face}}}"
    return f"{'https' if secure else 'http'}://{where}/w/{row.name}"
