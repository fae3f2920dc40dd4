"""Logs: one JSON object per line on stderr, or plain text for people."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

_QUIET = {
    # One line for each attempt on an API server that is away; lease and sweep say it once.
    "kopf._core": logging.CRITICAL,
    "kopf._cogs": logging.CRITICAL,
    "kopf.activities": logging.ERROR,  # a login that is cancelled because it would be refused again
    "kopf": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "kubernetes": logging.WARNING,
    "httpx": logging.WARNING,
}
"""Libraries that tell more than an operator's log should; at level debug they may."""

_SECRETIVE = ("httpcore", "hpack")
"""Libraries that tell secrets at level debug: headers, and the credentials of proxies."""

_KOPF = ("settings", "k8s_ref", "k8s_skip")
"""What Kopf adds to its own lines at level debug; some of it can't be written as JSON."""


def configure(level: str, style: str) -> None:
    """Set up the root logger: `style` is json or text."""
    handler = logging.StreamHandler(sys.stderr)
    if style == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(levelname)s%(name)s%(message)s",
                rename_fields={"levelname": "level", "name": "logger"},
                timestamp="time",
                reserved_attrs=[*RESERVED_ATTRS, *_KOPF],
            )
        )
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else quiet)
    for name in _SECRETIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
