"""`python -m pyroscope_operator`."""

import sys

from pyroscope_operator.cli import main

sys.exit(main())
