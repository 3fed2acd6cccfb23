"""The floor of reading a ledger: `read_json.py LEDGER` parses every line and prints the seconds."""

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()
records = [json.loads(line) for line in Path(sys.argv[1]).read_bytes().splitlines()]
print(time.perf_counter() - began)
