"""Which addresses connections may be made to, where a tenant names the other side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_BY_DEFAULT = tuple(
    (ip_network(network), kind)
    for kind, networks in {
        "loopback": ("127.0.0.0/8", "::1/128"),
        # those of Alibaba, Azure and Oracle, and the IPv6 ones of AWS and Google; all others are link-local
        "metadata": ("100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::254/128", "fd20:ce::254/128"),
        "link-local": ("169.254.0.0/16", "fe80::/10"),
        "unspecified": ("0.0.0.0/8", "::/128"),
        "multicast": ("224.0.0.0/4", "255.255.255.255/32", "ff00::/8"),
    }.items()
    for network in networks
)
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


@dataclass(frozen=True, slots=True)
class Destinations:
    """The administrator's policy. Asked about the address that is really connected to, so that no name gets around it."""

    allowed: tuple[Network, ...] = ()
    """They win over all that is denied."""
    denied: tuple[tuple[Network, str], ...] = ()
    """With the word for it."""

    def why_not(self, address: str) -> str:
        """What is wrong with `address`, in a word; empty: it may be connected to."""
        every = tuple(_meanings(address))
        if any(one in network for one in every for network in self.allowed):
            return ""
        return next((kind for one in every for network, kind in self.denied if one in network), "")


ANYWHERE = Destinations()
"""Nothing is denied."""


def destinations(allow: Iterable[str], deny: Iterable[str], *, by_default: bool) -> Destinations:
    """The policy of these CIDR ranges, besides what is denied by default. Raises ValueError."""
    named = tuple((ip_network(text), "--deny-destinations") for text in deny)
    return Destinations(tuple(map(ip_network, allow)), named + (_BY_DEFAULT if by_default else ()))


def _meanings(text: str) -> Iterator[Address]:
    """The address, and the IPv4 ones that it leads to."""
    address = ip_address(text.partition("%")[0])
    yield address
    if isinstance(address, IPv6Address):
        low = IPv4Address(int(address) & 0xFFFFFFFF)
        embedded = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        yield from (one for one in embedded if one is not None)
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
            yield low
