"""The bytes of a file → its documents."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

from pyroscope_operator.errors import ManifestError
from pyroscope_operator.manifest.compose import compose
from pyroscope_operator.manifest.node import Node

MAX_FILE_BYTES = 4 << 20


def documents(file: str, stream: BinaryIO) -> Iterator[Node]:
    """The root node of each document that is not empty, in YAML or JSON.

    Raises ManifestError, which names `file`; the documents before the mistake have been
    given then. OSErrors of `stream` pass through.
    """
    content = stream.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ManifestError(file, f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return (root for root in compose(file, _decoded(file, content)) if root.value is not None)


def _decoded(file: str, content: bytes) -> str:
    """The text, without a byte order mark. UTF-16 needs one: Windows shells write it."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = 0 if utf16 else content.count(b"\n", 0, error.start) + 1
        raise ManifestError(file, "not valid YAML: the text is not UTF-8", line) from None
