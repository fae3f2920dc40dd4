"""TLS as `TlsSettings` describe it."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import warnings
from collections import OrderedDict

import httpx

from pyroscope_operator.errors import AccessError
from pyroscope_operator.model.access import TlsSettings
from pyroscope_operator.transport.faults import TLS_FAILED

MAX_CONTEXTS = 256
"""One with the authorities of the machine takes 0.8 MB and 20 ms."""

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s[^-]*-----END CERTIFICATE-----")
_KEY = re.compile(r"-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----\s.*?-----END \1-----", re.DOTALL)
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_OLD = frozenset({"TLS10", "TLS11"})


class _Unusable(Exception):
    """The message says what and why, and nothing of its content."""


class Contexts:
    """SSLContexts, made once for equal settings. The least recently used are forgotten."""

    def __init__(self, limit: int = MAX_CONTEXTS) -> None:
        self._limit = limit
        self._contexts: OrderedDict[tuple[TlsSettings, bool], asyncio.Task[ssl.SSLContext]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._contexts)

    async def of(self, tls: TlsSettings, *, http2: bool) -> ssl.SSLContext:
        """The context that offers HTTP/2, or not. Raises AccessError where the settings can't be used."""
        key = (tls, http2)
        task = self._contexts.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._contexts[key] = asyncio.create_task(asyncio.to_thread(_make, tls, http2), name="TLS context")
            while len(self._contexts) > self._limit:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        try:
            return await asyncio.shield(task)  # whoever asked first may be cancelled
        except _Unusable as error:
            self._contexts.pop(key, None)
            raise AccessError(TLS_FAILED, f"tlsConfig: {error}") from None

    async def aclose(self) -> None:
        """Wait for those that are being made."""
        await asyncio.gather(*self._contexts.values(), return_exceptions=True)
        self._contexts.clear()


def check_tls(tls: TlsSettings) -> str:
    """Which of ca, cert and keySecret can't be used, and why; empty: all can. Never shows what they hold."""
    try:
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.ca is not None:
            _trust(bare, tls.ca)
        _identify(bare, tls)
    except _Unusable as error:
        return str(error)
    return ""


def _make(tls: TlsSettings, http2: bool) -> ssl.SSLContext:
    if tls.ca is None and not tls.insecure_skip_verify:
        context = httpx.create_ssl_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.ca is not None:
        _trust(context, tls.ca)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _identify(context, tls)
    _bound_versions(context, tls)
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    return context


def _bound_versions(context: ssl.SSLContext, tls: TlsSettings) -> None:
    least = tls.min_version or (tls.max_version if tls.max_version in _OLD else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the old ones are asked for
        if least:
            context.minimum_version = _VERSIONS[least]
        if tls.max_version:
            context.maximum_version = _VERSIONS[tls.max_version]
    if least in _OLD:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # OpenSSL 3 knows these versions at no higher level


def _trust(context: ssl.SSLContext, ca: str) -> None:
    certificates = _certificates("ca", ca)
    try:
        context.load_verify_locations(cadata=certificates)
    except (ssl.SSLError, ValueError):
        raise _Unusable("ca holds a certificate that can't be read") from None


def _certificates(name: str, text: str) -> str:
    found = _CERTIFICATE.findall(text)
    if not found:
        raise _Unusable(f"{name} holds no PEM certificate")
    certificates = "\n".join(found) + "\n"
    if not certificates.isascii():
        raise _Unusable(f"{name} holds a certificate that can't be read")
    return certificates


def _identify(context: ssl.SSLContext, tls: TlsSettings) -> None:
    """Our own certificate."""
    if tls.cert is None and tls.key is None:
        return
    if tls.cert is None or tls.key is None:
        raise _Unusable("cert and keySecret belong together")
    certificates = _certificates("cert", tls.cert)
    key = _KEY.search(tls.key)
    if key is None:
        raise _Unusable("keySecret holds no PEM private key")
    if "ENCRYPTED" in key.group(0):
        raise _Unusable("keySecret holds an encrypted key: store it without a passphrase")
    try:
        _load(context, f"{key.group(0)}\n{certificates}")
    except (ssl.SSLError, ValueError) as error:
        raise _Unusable(_what_is_wrong(error, certificates)) from None


def _what_is_wrong(error: Exception, certificates: str) -> str:
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return "keySecret does not belong to cert"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates)
    except ssl.SSLError:
        return "cert holds a certificate that can't be read"
    weak = "TOO_SMALL" in str(getattr(error, "reason", "")) or "TOO_WEAK" in str(getattr(error, "reason", ""))
    return "cert is too weak for the operator's TLS library" if weak else "keySecret holds a key that can't be read"


def _load(context: ssl.SSLContext, pem: str) -> None:
    """OpenSSL reads files only: one in memory, which no other process sees."""
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=lambda: b"")
