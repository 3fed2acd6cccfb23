"""A graph through the library: `graph.py GRAPH.json ROOT` prints the seconds from call to return."""

import json
import sys
import time
from pathlib import Path

from branchline import run_graph

graph = json.loads(Path(sys.argv[1]).read_bytes())
began = time.perf_counter()
result = run_graph(graph["tasks"], root=sys.argv[2], max_parallel=4)
print(time.perf_counter() - began)
sys.exit(not result.ok)
