"""What isn't needed isn't imported: it takes memory as long as the process lives."""

from __future__ import annotations

import subprocess
import sys

from pyroscope_operator._proto.profile_pb2 import Profile, ValueType
from pyroscope_operator.pprof import core, prepare


def test_without_a_cluster_no_kubernetes_and_with_the_core_no_protobuf() -> None:
    assert core.IS_NATIVE
    program = "import pyroscope_operator.cli, sys; print(*{name.split('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    assert "aiohttp" in found
    assert not {"kopf", "kubernetes", "requests", "google"}.intersection(found)


def test_the_empty_period_type_is_what_protobuf_writes() -> None:
    assert Profile(period_type=ValueType()).SerializeToString() == prepare._NO_PERIOD_TYPE
