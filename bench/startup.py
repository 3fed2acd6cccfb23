"""What starting costs: CPU (user + system) of `branchline` commands against `python -c pass`, the best of many.

`status` looks at a finished run of eighteen tasks. The best, not the median: noise only ever adds.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from _measuring import child, options, show, verdict

from branchline import run_graph

GOALS = {"--version": 5.0, "--help": 7.0, "status": 10.0}
ROUNDS = 21


def main() -> None:
    """Measure each command as often, in turns."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        run_graph([{"id": f"t{number}", "run": ["true"]} for number in range(18)], root=folder)
        best = measured(Path(folder), 2 if given.quick else ROUNDS)
    floor = best["pass"]
    rows: list[dict[str, str | float]] = [
        {"command": "python -c pass", "CPU, ms": floor * 1000, "ratio": 1, "goal": ""}
    ]
    for name, goal in GOALS.items():
        ratio = best[name] / floor
        goal_met = f"{goal:g} {verdict(ratio, goal)}"
        rows.append({"command": f"branchline {name}", "CPU, ms": best[name] * 1000, "ratio": ratio, "goal": goal_met})
    show("Start-up: CPU of a whole process, the best of many", rows, as_json=given.json)


def measured(folder: Path, rounds: int) -> dict[str, float]:
    """CPU seconds by command."""
    command = shutil.which("branchline", path=str(Path(sys.executable).parent)) or "branchline"
    contest = {"pass": [sys.executable, "-c", "pass"], **{name: [command, name] for name in GOALS}}
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, argv in contest.items():
            cost = child(argv, cwd=folder).cpu
            best[name] = min(cost, best.get(name, cost))
    return best


if __name__ == "__main__":
    main()
