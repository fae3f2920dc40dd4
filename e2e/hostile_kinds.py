"""The kinds of hostile targets that `cmd/hostile` plays, and what the operator has to say of each."""

from __future__ import annotations

from collections.abc import Mapping

INTERVAL = 3.0
TIMES = 8
"""How often everything is scraped, at least, while we look."""
MARKER = "geheim-body"
"""Stands in everything that a hostile target says."""
UP = ""
"""The reason of a scrape that succeeds."""

STEADY: Mapping[str, str] = {
    # Answers with something else
    "status-404": "HTTPStatus",
    "status-500": "HTTPStatus",
    "status-206": "HTTPStatus",
    "html": "NotAProfile",
    "json": "NotAProfile",
    "text": "NotAProfile",
    "empty": "EmptyBody",
    "encoding-br": "ContentEncoding",
    "encoding-odd": "ContentEncoding",
    "encoding-text": "NotAProfile",
    # Protobuf that is no profile
    "other-protobuf": "NotAProfile",
    "random": "NotAProfile",
    "only-wrong-types": "NotAProfile",
    "unknown-location": "NotAProfile",
    "unknown-function": "NotAProfile",
    "unknown-mapping": "NotAProfile",
    "same-id-twice": "NotAProfile",
    "unknown-string": "NotAProfile",
    "negative-string": "NotAProfile",
    "values-missing": "NotAProfile",
    "deep-groups": "NotAProfile",
    "group-without-end": "NotAProfile",
    "garbage-behind-raw": "NotAProfile",
    # Gzip that is broken or too much
    "gzip-truncated": "BrokenGzip",
    "gzip-corrupt": "BrokenGzip",
    "gzip-too-many-members": "BrokenGzip",
    "garbage-behind-gzip": "BrokenGzip",
    "gzip-in-gzip": "NotAProfile",
    # Without an end
    "endless-body": "BodyTooLarge",
    "endless-gzip": "BodyTooLarge",
    "endless-error": "HTTPStatus",
    "endless-upgrade": "HTTPStatus",
    "endless-chunks": "InvalidHTTP",
    "endless-chunk-extension": "InvalidHTTP",
    "endless-trailers": "InvalidHTTP",
    "endless-header": "InvalidHTTP",
    "endless-headers": "InvalidHTTP",
    "endless-status-line": "InvalidHTTP",
    "endless-informational": "InvalidHTTP",
    "huge-header": "InvalidHTTP",
    "many-headers": "InvalidHTTP",
    # Too slow
    "huge-length": "Timeout",
    "slow-body": "Timeout",
    "slow-header": "Timeout",
    "slow-informational": "Timeout",
    "trickle": "Timeout",
    "black-hole": "Timeout",
    "black-hole-later": "Timeout",
    "never-accepted": "Timeout",
    # Ends early
    "refused": "ConnectFailed",
    "reset": "ConnectionLost",
    "hang-up": "ConnectionLost",
    "truncated-header": "ConnectionLost",
    "reset-later": "Truncated",
    "truncated": "Truncated",
    "truncated-chunks": "Truncated",
    # No HTTP
    "ssh": "InvalidHTTP",
    "tls": "InvalidHTTP",
    "tls-alert": "InvalidHTTP",
    "http09": "InvalidHTTP",
    "http2": "InvalidHTTP",
    "chunk-size": "InvalidHTTP",
    "chunk-size-later": "InvalidHTTP",
    "chunk-size-huge": "InvalidHTTP",
    "length-text": "InvalidHTTP",
    "length-negative": "InvalidHTTP",
    "length-twice": "InvalidHTTP",
    "length-and-chunks": "InvalidHTTP",
    "header-without-colon": "InvalidHTTP",
    "header-name-odd": "InvalidHTTP",
    "header-with-zero": "InvalidHTTP",
    "status-text": "InvalidHTTP",
    "status-huge": "InvalidHTTP",
    # Leads astray
    "redirect-loop": "TooManyRedirects",
    "redirect-chain": "TooManyRedirects",
    "redirect-elsewhere": "RedirectRefused",
    "redirect-scheme": "RedirectRefused",
    "redirect-nowhere": "RedirectRefused",
    "redirect-ambiguous": "HTTPStatus",  # a 404 of the target itself
    # Odd, but nothing is wrong with it
    "good": UP,
    "raw": UP,
    "slow": UP,
    "closes": UP,
    "until-close": UP,
    "odd-headers": UP,
    "odd-reason": UP,
    "trailers": UP,
    "two-answers": UP,
    "two-answers-later": UP,
    "endless-answers": UP,
    "endless-redirect": UP,
    "redirect-home": UP,
    "gzip-encoded": UP,
    "gzip-twice": UP,
    "gzip-members": UP,
    "gzip-padded": UP,
    "wrong-types": UP,
    "unknown-fields": UP,
    "labels": UP,
    "negative": UP,
    "old": UP,
    "future": UP,
    "no-period-type": UP,
    # More than anybody needs
    "many-labels": "TooComplex",
    "overflow": "NotAProfile",
}
"""The reason by kind."""
HEAVY: Mapping[str, str] = {
    "gzip-bomb": "BodyTooLarge",
    "gzip-bomb-encoded": "BodyTooLarge",
    **dict.fromkeys(
        (
            *("many-samples", "many-valid", "many-locations", "many-lines", "many-functions", "many-mappings", "many-strings"),
            *("many-types", "many-comments", "many-values", "long-stack", "one-with-labels"),
        ),
        "TooComplex",
    ),
}
"""Bodies of 15 MB and more once they are unpacked. All of them together take 1.3 s of CPU, so they are scraped less often."""
KINDS = {**STEADY, **HEAVY}
UNDELIVERABLE = frozenset({"old", "future", "wrong-types"})
"""Scraped well, and refused by the server."""
_ALONE = frozenset({"two-answers", "two-answers-later", "endless-answers"})
"""Only one profile type: another one, asked for meanwhile, would be answered by what comes unasked."""


def expected(kind: str) -> dict[str, str]:
    """The reason of each profile type that is scraped."""
    reason = KINDS[kind]
    if kind in _ALONE:
        return {"goroutine": reason}
    if kind in HEAVY:
        return {"memory": reason}
    # Only who takes the difference adds equal samples up.
    return {"goroutine": UP if kind == "overflow" else reason, "memory": reason}


def failing(kind: str) -> dict[str, str]:
    """The reason of each profile type that fails."""
    return {profile: reason for profile, reason in expected(kind).items() if reason}


def address(kind: str) -> str:
    return f"127.0.72.{list(KINDS).index(kind) + 1}"


def pace(kind: str) -> int:
    """It is scraped at every so-manieth interval."""
    return 3 if kind in HEAVY else 1


def times(kind: str) -> int:
    return TIMES // pace(kind)
