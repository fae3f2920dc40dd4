"""The HTTP proxy between the operator and the other side."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from pyroscope_operator.api.base import ApiModel, Rule
from pyroscope_operator.api.formats import ProxyUrl


class Proxy(ApiModel):
    """Which HTTP proxy to go through. Default: none."""

    proxy_url: ProxyUrl | None = None
    """URL of the proxy: http://, https:// or socks5://."""
    no_proxy: Annotated[str, Field(min_length=1, max_length=2048)] | None = None
    """Hosts, domains, addresses and CIDR ranges, separated by commas, that are reached without the proxy. Needs proxyUrl."""
    proxy_from_environment: bool = False
    """true: take the proxy from HTTP_PROXY, HTTPS_PROXY and NO_PROXY in the environment of the operator.
    Excludes proxyUrl and noProxy.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "proxyFromEnvironment",
            "proxyFromEnvironment: true excludes proxyUrl and noProxy: remove it or remove these",
            "!self.proxyFromEnvironment || !has(self.proxyUrl) && !has(self.noProxy)",
            lambda p: not (p.proxy_from_environment and (p.proxy_url or p.no_proxy)),
        ),
        Rule(
            "noProxy",
            "noProxy needs proxyUrl: set proxyUrl or remove noProxy",
            "!has(self.noProxy) || has(self.proxyUrl) || self.proxyFromEnvironment",
            lambda p: not p.no_proxy or bool(p.proxy_url) or p.proxy_from_environment,
        ),
    )
