"""Through a proxy: what is said to it before the other side is reached."""

from __future__ import annotations

from ipaddress import ip_address

import httpcore

from pyroscope_operator.errors import AccessError
from pyroscope_operator.transport.faults import PROXY_REFUSED, PROXY_UNREACHABLE
from pyroscope_operator.transport.proxy import Proxy
from pyroscope_operator.transport.wire import Wire

_MAX_HEAD = 32 * 1024
_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time exceeded",
    7: "command not supported",
    8: "kind of address not supported",
}
"""RFC 1928, section 6."""


async def tunnel(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    """Make `wire`, which is connected to `proxy`, lead to `host`. Raises AccessError."""
    try:
        await (_socks(wire, proxy, host, port) if proxy.is_socks else _connect(wire, proxy, host, port))
    except (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError) as error:
        raise AccessError(PROXY_UNREACHABLE, "the proxy ended the connection without an answer") from error


async def _connect(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1".encode(), f"Host: {authority}".encode()]
    lines += [name + b": " + value for name, value in proxy.headers()]
    await wire.write(b"\r\n".join([*lines, b"", b""]))
    head = b""
    while b"\r\n\r\n" not in head:
        more = await wire.read(_MAX_HEAD)
        if not more:
            raise httpcore.ReadError
        head += more
        if len(head) > _MAX_HEAD:
            raise _unintelligible("HTTP")
    version, _, rest = head.partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or not status.isdigit():
        raise _unintelligible("HTTP")
    if not status.startswith(b"2"):
        raise refused(int(status))
    if not head.endswith(b"\r\n\r\n"):
        raise _unintelligible("HTTP")  # it is our turn to speak


def refused(status: int) -> AccessError:
    """The proxy answers by itself."""
    words = ", it wants other credentials" if status == 407 else ""
    return AccessError(PROXY_REFUSED, f"the proxy answered with HTTP status {status}{words}")


def _unintelligible(protocol: str) -> AccessError:
    return AccessError(PROXY_UNREACHABLE, f"the proxy does not speak {protocol}")


async def _socks(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    """SOCKS 5 (RFC 1928), with user and password (RFC 1929) or without."""
    method = 0 if proxy.user is None else 2
    await wire.write(bytes((5, 1, method)))
    version, chosen = await _exactly(wire, 2)
    if version != 5:
        raise _unintelligible("SOCKS 5")
    if chosen != method:
        raise AccessError(PROXY_REFUSED, "the proxy wants credentials" if proxy.user is None else "the proxy takes no password")
    if proxy.user is not None:
        await wire.write(b"\x01" + _counted(proxy.user) + _counted(proxy.password))
        if (await _exactly(wire, 2))[1] != 0:
            raise AccessError(PROXY_REFUSED, "the proxy wants other credentials")
    await wire.write(b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big"))
    version, reply, _, kind = await _exactly(wire, 4)
    if version != 5 or kind not in {1, 3, 4}:
        raise _unintelligible("SOCKS 5")
    if reply != 0:
        raise AccessError(PROXY_REFUSED, f"the proxy does not connect us: {_REPLIES.get(reply, 'no reason given')}")
    size = {1: 4, 4: 16}.get(kind) or (await _exactly(wire, 1))[0]
    await _exactly(wire, size + 2)


def _counted(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise AccessError(PROXY_REFUSED, "user and password of a SOCKS proxy have at most 255 bytes")
    return bytes((len(encoded),)) + encoded


def _address(host: str) -> bytes:
    try:
        address = ip_address(host)
    except ValueError:
        return b"\x03" + _counted(host)  # the proxy resolves it
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


async def _exactly(wire: Wire, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = await wire.read(size - len(data))
        if not more:
            raise httpcore.ReadError
        data += more
    return data
