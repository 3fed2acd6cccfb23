"""Peak memory of ordinary runs: a whole pipeline (the demo) and a plain graph of 1,000 tasks.

The peak is that of the largest process of the run: Branchline itself, an agent, a gate, or git.
"""

import json
import sys
import tempfile
from pathlib import Path

from _measuring import RUNNERS, Cost, child, options, show, verdict

GOAL_MB = 100


def main() -> None:
    """Run each once; peaks hardly vary."""
    given = options(__doc__)
    tasks = 50 if given.quick else 1_000
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.json"
        graph.write_text(json.dumps({"tasks": [{"id": f"t{n}", "run": ["true"]} for n in range(tasks)]}))
        costs = {
            "python -c pass": child([sys.executable, "-c", "pass"]),
            f"run_graph, {tasks} tasks": child([sys.executable, str(RUNNERS / "graph.py"), str(graph), folder]),
            "demo: 5 workstreams": child([sys.executable, "-m", "branchline", "demo", "--keep", f"{folder}/demo"]),
        }
    rows = [row(name, cost) for name, cost in costs.items()]
    show("Peak memory of ordinary runs", rows, as_json=given.json)


def row(name: str, cost: Cost) -> dict[str, str | float]:
    """One line of the table."""
    goal = f"{GOAL_MB} MB {verdict(cost.peak_mb, GOAL_MB)}"
    return {"run": name, "peak, MB": cost.peak_mb, "goal": goal, "wall, s": cost.wall, "CPU, s": cost.cpu}


if __name__ == "__main__":
    main()
