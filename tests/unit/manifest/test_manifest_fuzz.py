"""Whatever stands in a file: it is read, or refused with our own error."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import pytest

from pyroscope_operator.check.inspect import Inspector
from pyroscope_operator.errors import ManifestError
from pyroscope_operator.standalone import read_manifests

EXAMPLE = (Path(__file__).parents[3] / "docs/examples/pyroscopescrape-full.yaml").read_bytes()
JSON = b"""{"apiVersion": "pyroscope-operator.dev/v1alpha1", "kind": "PyroscopeScrape",
\t"metadata": {"name": "a"}, "spec": {"selector": {}, "jobName": "\\ud83d\\ude00", "port": 1.5e3}}"""
BITS = [
    *rb"""*a &a &b [*b] {<<:*a} !! !x !<%FF> %TAG { } [ ] , : - ? ' " | > # @ ` ~: .inf \x \UFFFFFFFF \ud800 1e999 0x""".split(),
    *(b"\t", b"\n", b"\r\n", b"\n---\n", b"\n...\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b": ", b"- ", b"<<: *a"),
    *(b"0" * 5000, b"%YAML 1." + b"9" * 5000 + b"\n---\n", b"kind: List\nitems:\n"),
]


def mutated(chance: random.Random) -> bytes:
    """A valid file with some things cut out, put in, repeated or changed."""
    content = bytearray(chance.choice([EXAMPLE[: chance.randrange(200, 2500)], JSON]))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content) + 1)
        match chance.randrange(4):
            case 0:
                content[at:at] = chance.choice(BITS)
            case 1:
                del content[at : at + chance.randint(1, 30)]
            case 2:
                content[at : at + 1] = bytes([chance.randrange(256)])
            case _:
                other = chance.randrange(len(content) + 1)
                content[at:at] = content[other : other + chance.randint(1, 60)]
    return bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_else_is_ever_raised(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    errors = 0
    for _ in range(250):
        content = mutated(chance)
        inspector = Inspector()
        inspector.inspect("f", io.BytesIO(content))
        assert all("\n" not in str(finding) and str(finding).isprintable() for finding in inspector.report.findings)
        errors += bool(inspector.report.counts["errors"])
        path = tmp_path / "f.yaml"
        path.write_bytes(content)
        with contextlib.suppress(ManifestError):
            read_manifests([path])
    assert 100 < errors <= 250, "mutations that harm nothing or everything prove little"
