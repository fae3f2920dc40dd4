"""Makes TCP connections: which addresses a host has, and one socket that is connected."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, ip_address

from pyroscope_operator.transport.sockets import AddressInfo, SocketFactory

CONNECT_SECONDS = 1.0
"""For an address while there are further ones; the last is waited for as long as the caller likes."""


async def connected(host: str, port: int, make_socket: SocketFactory) -> socket.socket:
    """A connected socket to the first address of `host` that takes one. Raises OSError, UnicodeError."""
    loop = asyncio.get_running_loop()
    *others, last = await addresses(host, port)
    for info in others:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await _connect(loop, info, make_socket)
        except OSError:  # TimeoutError is one
            continue
    return await _connect(loop, last, make_socket)


async def addresses(host: str, port: int) -> list[AddressInfo]:
    """Of a name or an address; never empty. Only names need a resolver."""
    try:
        address = ip_address(host)
    except ValueError:
        flags = socket.AI_ADDRCONFIG
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address") from None
        return found  # type: ignore[return-value]
    if isinstance(address, IPv4Address):
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    zone = address.scope_id or ""
    scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0
    where = (host.partition("%")[0], port, 0, scope)
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]


async def _connect(loop: asyncio.AbstractEventLoop, info: AddressInfo, make_socket: SocketFactory) -> socket.socket:
    made = make_socket(info)
    try:
        made.setblocking(False)
        await loop.sock_connect(made, info[4])
    except BaseException:
        made.close()
        raise
    return made
