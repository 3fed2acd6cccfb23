"""What is disturbed: small requests that between them take every path of the pipeline."""

import json
from dataclasses import dataclass
from pathlib import Path

from support import SEAM, Json, Project, edit, gate, sh, workstream, write

MERGE: Json = {"ship": {"mode": "merge"}}
CLEAN = gate("clean", "! grep -rn BAD *.txt")
ONCE = "test -e ../../../once || { touch ../../../once; echo half > b.txt; exit 1; }"  # fails at the first attempt only
GUARDED: Json = {
    "workstreams": [
        workstream("a", write("a.txt", "a\n")),
        workstream("g", write(".github/workflows/ci.yml", "on: push\n"), sh("echo left > note")),
    ]
}
USED: Json = {"usage": {"input_tokens": 100, "output_tokens": 10, "cost_usd": 0.01}}


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a story and its exit code; `resumed`: the code of the `resume` that finishes it once it was killed.

    One that drives no run is given again instead (`resumed` is None).
    """

    args: tuple[str, ...]
    code: int = 0
    resumed: int | None = 0


@dataclass(frozen=True, slots=True)
class Story:
    """A request and the commands that carry it out. `checked_out`: the branch that the user is on; all ship to main."""

    name: str
    commands: tuple[Command, ...]
    settings: Json
    plan: Json | None = None
    graph: Json | None = None
    checked_out: str = "main"

    def make(self, root: Path) -> None:
        """Make the project."""
        project = Project.make(root)
        if self.checked_out != "main":
            project.git("branch", "--move", "main", self.checked_out)
            project.git("branch", "main")

    def ask(self, folder: Path) -> None:
        """Write what is asked beside the project, where the commands look for it."""
        quick = {
            "version": 1,
            "retry": {"max_attempts": 3, "backoff": "fixed", "base_seconds": 0.01},
            "max_parallel": 1,
        }
        asked = {"plan": {"version": 1, **(self.plan or {})}, "config": {**quick, **self.settings}, "graph": self.graph}
        for name, content in asked.items():
            (folder / f"{name}.json").write_text(json.dumps(content))


RUN = ("run", "--plan", "../plan.json", "--config", "../config.json", "--yes", "--json")
PLANNED = ("run", "do everything", "--config", "../config.json", "--json")


def _planned() -> Json:
    """A planner and a worker, each the second choice after one that is away."""
    streams = [
        {"id": name, "title": "", "prompt": "work", "depends_on": [], "write": [f"{name}.txt"], "protect": [], "agent": "away"}
        for name in "ab"
    ]  # fmt: skip
    away = [USED, {"fail": "the model is away"}]
    answer = {"answer": {"goal": "Everything at once", "workstreams": streams}}
    work = [[USED, sh("name=$(basename $PWD); echo good > $name.txt")]]
    return {
        **MERGE,
        "agents": [
            {"id": "away", "use": "scripted", "scripts": [away], "fallback": ["worker"]},
            {"id": "planner", "use": "scripted", "scripts": [[USED, answer]]},
            {"id": "worker", "use": "scripted", "scripts": work},
        ],
        "agent": "away",
        "planning": {"agent": "planner"},
        "budget": {"run": 50, "attempt": 1},
    }


STORIES = {
    story.name: story
    for story in (
        Story("plain", (Command(RUN),), MERGE, {"workstreams": [workstream("a", write("a.txt", "a\n"))]}),
        Story(
            "depends",
            (Command((*RUN, "--base", "main")),),
            {**MERGE, "gates": [CLEAN]},
            {
                "workstreams": [
                    workstream("a", write("a.txt", "BAD\n"), repair_scripts=[[write("a.txt", "good\n")]]),
                    workstream("b", edit("src/x.py", "1", "2"), {"delete": {"path": "old.txt"}}, depends_on=["a"]),
                ]
            },
            checked_out="dev",
        ),
        Story(
            "conflict",
            (Command(RUN, 5, 5),),
            MERGE,
            {
                "workstreams": [
                    workstream("c", write("shared.txt", "c\n"), sh("echo left > .gitignore; echo x > left")),
                    workstream("d", write("shared.txt", "d\n")),
                ]
            },
        ),
        Story(
            "mended",
            (Command(RUN),),
            {**MERGE, "merge": {"on_conflict": "repair"}},
            {
                "workstreams": [
                    workstream("c", write("shared.txt", "c\n")),
                    workstream("d", write("shared.txt", "d\n"), repair_scripts=[[write("shared.txt", "c and d\n")]]),
                ]
            },
        ),
        Story(
            "retried",
            (Command(RUN),),
            {"ship": {"mode": "branch"}},
            {"workstreams": [workstream("b", sh(ONCE), write("b.txt", "b\n"))]},
        ),
        Story(
            "protected",
            (Command(RUN, 4, 4), Command(("approve", "--json")), Command(("rollback", SEAM["BRANCHLINE_RUN_ID"]), 0, None)),
            MERGE,
            GUARDED,
        ),
        Story(
            "cleaned",
            (Command(RUN, 4, 4), Command(("cancel", "--json"), 0, 1), Command(("gc", "--json"), 0, None)),
            MERGE,
            GUARDED,
        ),
        Story("planned", (Command(PLANNED, 4, 4), Command(("approve", "--json"))), _planned()),
        Story("cancelled", (Command(PLANNED, 4, 4), Command(("cancel", "--json"), 0, 1)), _planned()),
        Story(
            "wide",
            (Command(RUN),),
            {**MERGE, "max_parallel": 4},
            {"workstreams": [workstream(name, write(f"{name}.txt", f"{name}\n")) for name in "abc"]},
        ),
        Story(
            "graph",
            (Command(("run", "--graph", "../graph.json", "--config", "../config.json", "--json")),),
            {},
            graph={
                "version": 1,
                "tasks": [
                    {"id": "one", "run": ["sh", "-c", "echo 1"]},
                    {"id": "two", "run": ["sh", "-c", "test -e .runs/once || { touch .runs/once; exit 1; }"], "dependencies": ["one"]},
                    {"id": "three", "run": ["sh", "-c", "true"], "dependencies": ["one"], "priority": 3},
                ],
            },
        ),
    )
}  # fmt: skip
