"""What an object's relabelings make of a target: where it is, how it is asked, and the labels of its series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pyroscope_operator.api.formats import PATH_PREFIX, SERIES_LABEL, python_pattern
from pyroscope_operator.api.scrape import PyroscopeScrapeSpec
from pyroscope_operator.discovery import relabel
from pyroscope_operator.discovery.relabel import Dropped, TooMuchWork
from pyroscope_operator.discovery.series import host_port
from pyroscope_operator.model.target import Params

ADDRESS, SCHEME, PREFIX, PARAM = "__address__", "__scheme__", "__profile_path_prefix__", "__param_"
_LONGEST_PREFIX = 512

_is_prefix = re.compile(python_pattern(PATH_PREFIX)).fullmatch
_is_port = re.compile("[0-9]{1,5}").fullmatch
_is_label_name = re.compile(SERIES_LABEL).fullmatch


@dataclass(frozen=True, slots=True)
class Relabeled:
    """A target as it is scraped."""

    scheme: str
    address: str
    path_prefix: str | None
    """In the place of the object's own; None: that one."""
    params: Params
    labels: Mapping[str, str]
    """Those that are neither empty nor start with `__`."""


class NotWanted(Exception):
    """The target is not scraped; `reason` and `message` are for the status."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def relabeled(spec: PyroscopeScrapeSpec, discovered: Mapping[str, str]) -> Relabeled:
    """The target that `discovered` describes, after the relabelings of `spec`.

    They may change the port of its address, but never the host: a tenant must not aim the
    operator at others. Raises NotWanted.
    """
    labels = _processed(spec, discovered) if spec.relabelings else discovered
    public, params = _sorted_out(labels)
    return Relabeled(
        scheme=_scheme(labels.get(SCHEME, "") or spec.scheme),
        address=_address(discovered[ADDRESS], labels.get(ADDRESS, "")),
        path_prefix=_prefix(discovered.get(PREFIX, ""), labels.get(PREFIX, "")),
        params=_params(spec, params),
        labels=public,
    )


def _processed(spec: PyroscopeScrapeSpec, discovered: Mapping[str, str]) -> Mapping[str, str]:
    try:
        labels = relabel.process(spec.relabelings, discovered)
    except TooMuchWork as error:
        raise NotWanted(
            "LimitExceeded",
            f"relabelings[{error.step}] takes too long on the labels of this target: shorten its regex, or match fewer labels",
        ) from None
    if isinstance(labels, Dropped):
        raise NotWanted("Relabeled", str(labels))
    return labels


def _sorted_out(labels: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The labels of the series, and query parameters by name. Pods have dozens of labels that are neither."""
    public, params = {}, {}
    for name, value in labels.items():
        if not name.startswith("__"):
            if value and _is_label_name(name):
                public[name] = value
        elif value and name.startswith(PARAM):
            params[name.removeprefix(PARAM)] = value
    return public, params


def _prefix(discovered: str, wanted: str) -> str | None:
    if wanted == discovered:
        return None
    if wanted and (len(wanted) > _LONGEST_PREFIX or not _is_prefix(wanted)):
        raise _invalid(PREFIX, "must start with '/' and not end with it, without '?', '#' and blanks")
    return wanted


def _invalid(label: str, fix: str) -> NotWanted:
    return NotWanted("InvalidTarget", f"the label {label} {fix}: correct spec.relabelings")


def _scheme(scheme: str) -> str:
    if scheme not in {"http", "https"}:
        raise _invalid(SCHEME, "must be http or https")
    return scheme


def _address(discovered: str, wanted: str) -> str:
    """`discovered` with the port of `wanted`; brackets around an IPv6 address need not be there."""
    if wanted == discovered:
        return discovered
    host = discovered.rpartition(":")[0]
    bare = host.strip("[]")
    wanted_host, _, port = wanted.rpartition(":")
    if wanted_host not in {host, bare}:
        raise _invalid(ADDRESS, "must be host:port with the host as it was: only the port may change")
    if not _is_port(port) or not 1 <= int(port) <= 65535:
        raise _invalid(ADDRESS, "must have a port from 1 to 65535")
    return host_port(bare, int(port))


def _params(spec: PyroscopeScrapeSpec, first: Mapping[str, str]) -> Params:
    """Query parameters: one in `first` takes the place of the first value of its name, as in Prometheus."""
    params = {name: tuple(values) for name, values in spec.params.items()}
    for name, value in first.items():
        params[name] = (value, *params.get(name, ())[1:])
    if "seconds" in params:
        raise NotWanted("InvalidTarget", f"remove the label {PARAM}seconds, and set spec.deltaProfilingDuration instead")
    return tuple(sorted(params.items()))
