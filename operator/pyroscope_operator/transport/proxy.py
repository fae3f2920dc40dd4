"""Which proxy a request goes through. Pure, and as Go reads the same settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import httpx

from pyroscope_operator.errors import AccessError
from pyroscope_operator.model.access import ProxySettings, basic
from pyroscope_operator.transport.faults import PROXY_UNREACHABLE

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

Excepts = Callable[[str, int], bool]
"""Whether a host and port is reached directly."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy to go through."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)
    guarded: bool = True
    """Named by a tenant."""

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks5")

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What an HTTP proxy has to be told besides the request."""
        return [] if self.user is None else [(b"Proxy-Authorization", basic(self.user, self.password).encode())]


def proxy_for(settings: ProxySettings, url: httpx.URL, environment: Mapping[str, str]) -> Proxy | None:
    """The proxy that a request to `url` goes through, or None. Raises AccessError if its URL can't be used."""
    if settings.url is None and not settings.from_environment:
        return None
    host, port = url.raw_host.decode().lower().rstrip("."), url.port or _PORTS.get(url.scheme, 0)
    if settings.url is not None:
        return None if _excepts(settings.no_proxy)(host, port) else _parsed(settings.url, guarded=True)
    named = _variable(environment, f"{url.scheme.upper()}_PROXY")
    if not named or _is_here(host) or _excepts(_variable(environment, "NO_PROXY"))(host, port):
        return None
    return _parsed(named if "://" in named else f"http://{named}", guarded=False)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.lower(), "")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _parsed(text: str, *, guarded: bool) -> Proxy:
    try:
        url = httpx.URL(text)
        if url.scheme not in _PORTS or not url.host:
            raise httpx.InvalidURL("")
        host, port = url.raw_host.decode(), url.port or _PORTS[url.scheme]
    except (httpx.InvalidURL, UnicodeError):
        raise AccessError(PROXY_UNREACHABLE, "the proxy's URL is not http://, https:// or socks5:// with a host") from None
    return Proxy(url.scheme, host, port, url.username if url.userinfo else None, url.password, guarded)


@lru_cache(maxsize=1024)
def _excepts(no_proxy: str) -> Excepts:
    entries = [entry for part in no_proxy.split(",") if (entry := part.strip().lower())]
    tests = [_test(entry) for entry in entries]
    return lambda host, port: any(test(host, port) for test in tests)


def _test(entry: str) -> Excepts:
    """For one entry: *, a CIDR range, or an address, host or domain, the latter perhaps with a port."""
    if entry == "*":
        return _any
    try:
        return partial(_in, ip_network(entry, strict=False))
    except ValueError:
        return partial(_named, *_split(entry))


def _any(_host: str, _port: int) -> bool:
    return True


def _in(network: IPv4Network | IPv6Network, host: str, _port: int) -> bool:
    try:
        return ip_address(host) in network
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, int]:
    """The host and the port, 0 if there is none."""
    host, colon, port = entry.rpartition(":")
    if colon and port.isascii() and port.isdigit() and (":" not in host or host.endswith("]")):
        return host.strip("[]"), int(port)
    return entry.strip("[]"), 0


def _named(name: str, only: int, host: str, port: int) -> bool:
    if only not in {0, port}:
        return False
    domain = "." + name.removeprefix("*").lstrip(".")
    return host.endswith(domain) or (not name.startswith((".", "*.")) and host == domain[1:])
