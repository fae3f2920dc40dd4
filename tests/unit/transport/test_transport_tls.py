"""TLS: what is trusted, what is shown, and what the reasons say when it fails."""

from __future__ import annotations

import datetime
import ssl
import threading

import pytest
from transport_servers import SECRET, blocking_tls, ca, get, http1, pair, refusal, server_context, stranger, trusting

from pyroscope_operator.metrics import Metrics
from pyroscope_operator.model.access import Access, TlsSettings
from pyroscope_operator.transport import tls
from pyroscope_operator.transport.clients import open_clients
from pyroscope_operator.transport.tls import Contexts, check_tls

BOTH = pytest.mark.parametrize("http2", [False, True], ids=["aiohttp", "httpcore"])
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)


@BOTH
@pytest.mark.parametrize(
    "settings",
    [trusting(), TlsSettings(insecure_skip_verify=True), trusting(min_version="TLS13"), trusting(max_version="TLS12")],
    ids=["ca", "insecure", "1.3", "1.2"],
)
async def test_the_other_side_is_accepted(settings: TlsSettings, http2: bool) -> None:
    async with http1(context=server_context()) as server, open_clients(Metrics()) as clients:
        assert await get(clients, Access(tls=settings, http2=http2), server.url) == (200, b"hello")


@BOTH
async def test_the_name_that_the_certificate_carries_may_be_another_one(http2: bool) -> None:
    async with http1(context=server_context("shop.example")) as server, open_clients(Metrics()) as clients:
        named = Access(tls=trusting(server_name="shop.example"), http2=http2)
        assert await get(clients, named, server.url) == (200, b"hello")
        error = await refusal(clients, Access(tls=trusting(), http2=http2), server.url)
        assert error.reason == "CertificateInvalid"
        assert "IP address mismatch" in error.message


@BOTH
async def test_certificates_that_are_not_accepted(http2: bool) -> None:
    contexts = {
        "expired": server_context(not_after=YESTERDAY),
        "unable to get local issuer": server_context(issuer=stranger()),
    }
    for words, context in contexts.items():
        async with http1(context=context) as server, open_clients(Metrics()) as clients:
            error = await refusal(clients, Access(tls=trusting(), http2=http2), server.url)
        assert error.reason == "CertificateInvalid"
        assert words in error.message


async def test_the_machine_trusts_others() -> None:
    async with http1(context=server_context()) as server, open_clients(Metrics()) as clients:
        assert (await refusal(clients, Access(), server.url)).reason == "CertificateInvalid"


@BOTH
async def test_versions_without_one_in_common(http2: bool) -> None:
    context = server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with blocking_tls(context) as url, open_clients(Metrics()) as clients:
        error = await refusal(clients, Access(tls=trusting(min_version="TLS13"), http2=http2), url)
        assert error.reason == "TLSFailed"


@BOTH
async def test_old_versions_are_spoken_when_asked_for(http2: bool) -> None:
    context = server_context()
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with http1(context=context) as server, open_clients(Metrics()) as clients:
        for settings in (trusting(min_version="TLS10"), trusting(max_version="TLS11")):
            assert await get(clients, Access(tls=settings, http2=http2), server.url) == (200, b"hello")
        assert (await refusal(clients, Access(tls=trusting(), http2=http2), server.url)).message == (
            "the connection ended during the TLS handshake"
        )


@BOTH
async def test_no_tls_on_the_other_side(http2: bool) -> None:
    async with http1() as server, open_clients(Metrics()) as clients:
        error = await refusal(clients, Access(http2=http2), server.url.replace("http://", "https://"))
        assert error.reason == "TLSFailed"


@BOTH
@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
async def test_mutual_tls(http2: bool, version: str) -> None:
    settings = {"max_version": version}
    async with blocking_tls(server_context(mutual=True)) as url, open_clients(Metrics()) as clients:
        shown = Access(tls=trusting(**pair(), **settings), http2=http2)
        assert await get(clients, shown, url) == (200, b"hello")
        wrong = Access(tls=trusting(**pair(issuer=stranger()), **settings), http2=http2)
        assert (await refusal(clients, wrong, url)).reason == "ClientCertificateRefused"
        if version == "TLS13":  # before, OpenSSL's alert for this is the general one
            missing = Access(tls=trusting(**settings), http2=http2)
            assert (await refusal(clients, missing, url)).reason == "ClientCertificateRefused"


@BOTH
@pytest.mark.parametrize("shown", ["none", "other"])
async def test_a_server_that_refuses_our_certificate_and_hangs_up(http2: bool, shown: str) -> None:
    """Its reset may overtake its alert, as with Go's: the reason must not depend on which of them is seen first."""
    ours = pair(issuer=stranger()) if shown == "other" else {}
    access = Access(tls=trusting(**ours), http2=http2)
    async with blocking_tls(server_context(mutual=True), hang_up=True) as url, open_clients(Metrics()) as clients:
        assert {(await refusal(clients, access, url)).reason for _ in range(30)} == {"ClientCertificateRefused"}


async def test_a_rotated_certificate_is_another_way() -> None:
    async with http1(context=server_context(mutual=True)) as server, open_clients(Metrics()) as clients:
        old, new = Access(tls=trusting(**pair())), Access(tls=trusting(**pair()))
        for access in (old, new, old):
            assert await get(clients, access, server.url) == (200, b"hello")
        assert len(server.peers) >= 2


# check_tls

GARBAGE = f"-----BEGIN CERTIFICATE-----\n{SECRET * 8}\n-----END CERTIFICATE-----\n"
PAIR = pair()
OTHER = pair()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (TlsSettings(), ""),
        (TlsSettings(ca=ca(), **PAIR), ""),
        (TlsSettings(ca="Grüße\n" + ca() + "# end"), ""),
        (TlsSettings(ca=""), "ca holds no PEM certificate"),
        (TlsSettings(ca=SECRET), "ca holds no PEM certificate"),
        (TlsSettings(ca=GARBAGE), "ca holds a certificate that can't be read"),
        (TlsSettings(cert=PAIR["cert"]), "cert and keySecret belong together"),
        (TlsSettings(cert=SECRET, key=PAIR["key"]), "cert holds no PEM certificate"),
        (TlsSettings(cert=GARBAGE, key=PAIR["key"]), "cert holds a certificate that can't be read"),
        (TlsSettings(cert=PAIR["cert"], key=SECRET), "keySecret holds no PEM private key"),
        (TlsSettings(cert=PAIR["cert"], key=OTHER["key"]), "keySecret does not belong to cert"),
        (
            TlsSettings(
                cert=PAIR["cert"], key=f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{SECRET}\n-----END ENCRYPTED PRIVATE KEY-----"
            ),
            "keySecret holds an encrypted key: store it without a passphrase",
        ),
        (
            TlsSettings(cert=PAIR["cert"], key=f"-----BEGIN PRIVATE KEY-----\n{SECRET * 8}\n-----END PRIVATE KEY-----"),
            "keySecret holds a key that can't be read",
        ),
    ],
)
def test_check_tls_says_what_can_not_be_used(settings: TlsSettings, words: str) -> None:
    assert check_tls(settings) == words
    assert SECRET not in check_tls(settings)


async def test_unusable_settings_fail_each_request() -> None:
    async with open_clients(Metrics()) as clients:
        for _ in range(2):
            error = await refusal(clients, Access(tls=TlsSettings(ca=SECRET)), "https://127.0.0.1:1/")
            assert error.reason == "TLSFailed"
            assert error.message == "tlsConfig: ca holds no PEM certificate"


# Contexts


async def test_equal_settings_share_a_context_and_it_is_made_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    make = tls._make

    def counted(*of: object) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return make(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(tls, "_make", counted)
    contexts = Contexts(limit=2)
    first, second = await contexts.of(trusting(), http2=False), await contexts.of(trusting(), http2=False)
    assert first is second
    assert await contexts.of(trusting(), http2=True) is not first
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    await contexts.of(TlsSettings(insecure_skip_verify=True), http2=False)
    assert len(contexts) == 2
    await contexts.aclose()


async def test_credentials_share_connections() -> None:
    async with http1(context=server_context()) as server, open_clients(Metrics()) as clients:
        for user in range(3):
            access = Access(authorization=f"Bearer {user}", tls=trusting(), http2=False)
            assert await get(clients, access, server.url) == (200, b"hello")
        assert len(server.peers) == 1
        assert [r.headers["Authorization"] for r in server.requests] == ["Bearer 0", "Bearer 1", "Bearer 2"]
