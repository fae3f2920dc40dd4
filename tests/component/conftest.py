"""Components share the builders of the unit tests: profiles, targets and pods."""

import sys
from pathlib import Path

_UNIT = Path(__file__).parents[1] / "unit"
sys.path[:0] = [str(_UNIT), *(str(_UNIT / folder) for folder in ("pprof", "scrape"))]
