"""The strings that the API knows: pattern, length and how to say it to people.

Patterns are anchored and mean the same to RE2 (API server) and to pydantic's engine.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import Field

_PORT_NUMBER = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST = r"(\[[0-9a-fA-F.]*:[0-9a-fA-F:.]*\]|[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?)"
_PATH_CHAR = "[^?#[:space:][:cntrl:]]"
_LABEL_PART = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DNS_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_REFERENCE = r"\$(\{[a-zA-Z0-9_]+\}|[a-zA-Z0-9_])"

DURATION = r"^([0-9]{1,6}(\.[0-9]{1,9})?(ms|s|m|h))+$"
"""So few digits that Go, which counts nanoseconds in 64 bits, never overflows."""
SIZE = "^(0|([0-9]*[.])?[0-9]+((K|M|G|T|E|P)i?)?B)$"
DNS_LABEL = f"^{_DNS_PART}$"
DNS_SUBDOMAIN = rf"^{_DNS_PART}(\.{_DNS_PART})*$"
PORT_NAME = "^([0-9]+-)*[0-9]*[a-z][a-z0-9]*(-[a-z0-9]+)*$"
ADDRESS = f"^{_HOST}:{_PORT_NUMBER}$"
LABEL_KEY = rf"^({_DNS_PART}(\.{_DNS_PART})*/)?{_LABEL_PART}$"
LABEL_VALUE = f"^({_LABEL_PART})?$"
SERIES_LABEL = "^[a-zA-Z_][a-zA-Z0-9_]*$"
TARGET_LABEL = f"^([a-zA-Z_]|{_REFERENCE})([a-zA-Z0-9_]|{_REFERENCE})*$"
DATA_KEY = "^[-._a-zA-Z0-9]+$"
URL_PATH = f"^/{_PATH_CHAR}*$"
PATH_PREFIX = f"^/({_PATH_CHAR}*[^?#/[:space:][:cntrl:]])$"
HTTP_URL = rf"^https?://{_HOST}(:{_PORT_NUMBER})?([/?][^#[:space:][:cntrl:]]*)?$"
"""Without user and password, which would be a secret in an object, and without a fragment, which is never sent."""
PROXY_URL = rf"^(http|https|socks5)://{_HOST}(:{_PORT_NUMBER})?/?$"
WRITE_URL = rf"^https?://{_HOST}(:{_PORT_NUMBER})?(/[!\"$->@-~]*)?$"
EXTERNAL_LABEL = "^_?[a-zA-Z][a-zA-Z0-9_]*$"
TENANT = "^[!-~]([ -~]*[!-~])?$"
HEADER_NAME = "^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"
HEADER_VALUE = "^([!-~]([ -~]*[!-~])?)?$"
NO_CONTROLS = "^[^[:cntrl:]]*$"
CONDITION_TYPE = "^[A-Z][A-Za-z]*$"
REASON = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"

HINTS = MappingProxyType(
    {
        DURATION: "must be a duration such as 15s, 1m30s or 500ms (units: ms, s, m, h)",
        SIZE: "must be a size such as 512KiB or 16MiB",
        DNS_LABEL: "must be a name of lower-case letters, digits and '-', that starts and ends with a letter or digit",
        DNS_SUBDOMAIN: "must be a name of lower-case letters, digits, '-' and '.', that starts and ends with a letter or digit",
        PORT_NAME: "must be a port number without quotes, or a name of lower-case letters, digits and '-', at least one letter",
        ADDRESS: "must be host:port with a port from 1 to 65535, an IPv6 address in brackets: [::1]:6060",
        LABEL_KEY: "must be the key of a Kubernetes label, such as app or app.kubernetes.io/name",
        LABEL_VALUE: "must be the value of a Kubernetes label: at most 63 letters, digits, '-', '_' and '.'",
        SERIES_LABEL: "must be of letters, digits and '_', and must not start with a digit",
        TARGET_LABEL: "must be a label name of letters, digits and '_', in which $1 or ${1} may stand for a group of regex",
        DATA_KEY: "must be a key of a Secret or ConfigMap: letters, digits, '-', '_' and '.'",
        URL_PATH: "must be a path that starts with '/', without '?', '#' and blanks (query parameters belong into spec.params)",
        PATH_PREFIX: "must start with '/' and must not end with '/', such as /internal",
        HTTP_URL: "must be a URL that starts with http:// or https://, without user, password and fragment (#)",
        PROXY_URL: "must be a URL that starts with http://, https:// or socks5://, of host and port only: no user, no password",
        WRITE_URL: "must be http(s)://host[:port][/prefix], without credentials, query and fragment",
        EXTERNAL_LABEL: "must be of letters, digits and '_', and must not start with a digit or __",
        TENANT: "must be of printable ASCII characters, without blanks at its ends",
        HEADER_NAME: "must be the name of an HTTP header, such as X-Team",
        HEADER_VALUE: "must be printable ASCII without line breaks and without blanks around it",
        NO_CONTROLS: "must not contain line breaks or other control characters",
        CONDITION_TYPE: "must be CamelCase",
        REASON: "must be CamelCase",
    }
)
"""Pattern → how to fix a string that does not match it. Values are never shown: they may be secrets in the wrong place."""


def python_pattern(pattern: str) -> str:
    """`pattern` for Python's `re`, which knows no names of classes."""
    return pattern.replace("[:space:]", r"\s").replace("[:cntrl:]", r"\x00-\x1f\x7f")


Duration = Annotated[str, Field(pattern=DURATION, max_length=20)]
"""A Go duration, kept as it is written; `duration.parse` makes seconds of it."""
Size = Annotated[str, Field(pattern=SIZE, max_length=20)]
"""A number of bytes, kept as it is written; `size.parse` makes an int of it."""
DnsLabel = Annotated[str, Field(pattern=DNS_LABEL, max_length=63)]
DnsSubdomain = Annotated[str, Field(pattern=DNS_SUBDOMAIN, max_length=253)]
Address = Annotated[str, Field(pattern=ADDRESS, max_length=261)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY, max_length=317)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE, max_length=63)]
SeriesLabel = Annotated[str, Field(pattern=SERIES_LABEL, max_length=256)]
TargetLabel = Annotated[str, Field(pattern=TARGET_LABEL, max_length=256)]
ProfileName = Annotated[str, Field(pattern=SERIES_LABEL, max_length=63)]
DataKey = Annotated[str, Field(pattern=DATA_KEY, max_length=253)]
UrlPath = Annotated[str, Field(pattern=URL_PATH, max_length=512)]
PathPrefix = Annotated[str, Field(pattern=PATH_PREFIX, max_length=512)]
HttpUrl = Annotated[str, Field(pattern=HTTP_URL, max_length=2048)]
ProxyUrl = Annotated[str, Field(pattern=PROXY_URL, max_length=2048)]
WriteUrl = Annotated[str, Field(pattern=WRITE_URL, max_length=2048)]
ExternalLabel = Annotated[str, Field(pattern=EXTERNAL_LABEL, max_length=256)]
Tenant = Annotated[str, Field(pattern=TENANT, max_length=150)]
HeaderName = Annotated[str, Field(pattern=HEADER_NAME, max_length=128)]
SeriesValue = Annotated[str, Field(pattern=NO_CONTROLS, max_length=2048)]
HeaderValue = Annotated[str, Field(pattern=HEADER_VALUE, max_length=2048)]
