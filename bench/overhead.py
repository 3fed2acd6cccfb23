"""What orchestration costs: every task is the process `true`, four run at once, everything is durable.

Floor: a bare asyncio loop that appends and syncs three records a task. Peer: GNU make -j4 with a stamp a task.
The pipeline's graph has its 18 tasks for two workstreams. In the layered graphs every task waits for the whole layer
before it. `process` is the wall time of a fresh process, start-up included; `call` from call to return inside it.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from _measuring import RUNNERS, child, interleaved, options, show, verdict

from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.pipeline import task_graph

GOAL = 1.5
Graph = dict[str, tuple[str, ...]]


def pipeline() -> Graph:
    """The eighteen tasks of workstreams a and b."""
    workstreams = tuple(Workstream(id=name, scope=Scope(write=("**",))) for name in "ab")
    return {task.id: task.dependencies for task in task_graph(Plan(version=1, workstreams=workstreams))}


def layers(number: int, width: int) -> Graph:
    """`number` layers of `width` tasks."""
    names = [tuple(f"l{layer:03d}_{i:02d}" for i in range(width)) for layer in range(number)]
    return {name: names[layer - 1] if layer else () for layer in range(number) for name in names[layer]}


def main() -> None:
    """Measure every shape."""
    given = options(__doc__)
    shapes = {"pipeline, 18 tasks": (pipeline(), 9), "20 layers x 10": (layers(20, 10), 7)}
    shapes["100 layers x 10"] = (layers(100, 10), 5)
    rows = []
    for title, (graph, rounds) in list(shapes.items())[: 1 if given.quick else None]:
        with tempfile.TemporaryDirectory() as folder:
            contest = Contest(graph, Path(folder))
            median = interleaved(1 if given.quick else rounds, contest.contestants())
        rows.append(row(title, median))
    show("Orchestration overhead: seconds, medians", rows, as_json=given.json)


def row(title: str, median: dict[str, float]) -> dict[str, str | float]:
    """One line of the table."""
    call, process = median["call"] / median["bare call"], median["process"] / median["bare process"]
    return {
        "graph": title,
        "make -j4": median["make"],
        "bare call": median["bare call"],
        "call": median["call"],
        "ratio": call,
        "goal": f"{GOAL} {verdict(call, GOAL)}",
        "bare process": median["bare process"],
        "process": median["process"],
        "ratio ": process,
        "goal ": f"{GOAL} {verdict(process, GOAL)}",
        "run --graph": median["command"],
    }


class Contest:
    """One graph in the form that each contestant reads."""

    def __init__(self, graph: Graph, folder: Path) -> None:
        self.folder, self.used = folder, 0
        tasks = [{"id": name, "dependencies": wanted, "run": ["true"]} for name, wanted in graph.items()]
        self.graph = folder / "graph.json"
        self.graph.write_text(json.dumps({"version": 1, "tasks": tasks}))
        rules = "".join(f"{name}: {' '.join(wanted)}\n\t@true\n\t@touch $@\n" for name, wanted in graph.items())
        (folder / "Makefile").write_text(f".PHONY: all\nall: {' '.join(graph)}\n{rules}")

    def contestants(self) -> dict[str, Callable[[], dict[str, float]]]:
        """By name; each gives its seconds."""
        return {"branchline": self.library, "bare": self.bare, "make": self.make, "command": self.command}

    def library(self) -> dict[str, float]:
        """`run_graph` in a fresh process."""
        cost = child([sys.executable, str(RUNNERS / "graph.py"), str(self.graph), self.fresh()])
        return {"process": cost.wall, "call": float(cost.out)}

    def bare(self) -> dict[str, float]:
        """The bare loop in a fresh process."""
        cost = child([sys.executable, str(RUNNERS / "bare_loop.py"), str(self.graph), self.fresh() + "/ledger"])
        return {"bare process": cost.wall, "bare call": float(cost.out)}

    def make(self) -> dict[str, float]:
        """Make with stamps, none of them there."""
        where = Path(self.fresh())
        return {"make": child(["make", "-s", "-j4", "-f", str(self.folder / "Makefile"), "all"], cwd=where).wall}

    def command(self) -> dict[str, float]:
        """`branchline run --graph`."""
        argv = [sys.executable, "-m", "branchline", "run", "--graph", str(self.graph), "--repo", self.fresh(), "--yes"]
        return {"command": child(argv).wall}

    def fresh(self) -> str:
        """An empty folder. Those of earlier rounds stay: ext4 creates files slowly just after many were deleted."""
        self.used += 1
        where = self.folder / f"root{self.used}"
        where.mkdir()
        return str(where)


if __name__ == "__main__":
    main()
