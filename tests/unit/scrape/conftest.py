"""Profiles are built with the builder of the pprof tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "pprof"))
