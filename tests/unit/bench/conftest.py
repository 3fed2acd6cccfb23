"""The benchmarks are no installed package; their pure parts are tested all the same."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "bench"))
