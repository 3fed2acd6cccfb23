"""Runs that ship to one branch at the same time: each lands on what the others landed, none is lost."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import Project, Ran, gate, workstream, write

RUNS = 3


def test_runs_that_ship_to_one_branch_at_once_all_land(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    settings = {"version": 1, "ship": {"mode": "merge"}, "gates": [gate("readme", "test -f README.md")]}

    def one(number: int) -> Ran:
        folder = tmp_path / str(number)
        folder.mkdir()
        plan = {"version": 1, "workstreams": [workstream("same", write(f"{number}.txt", "x\n"), {"sleep": 0.2})]}
        (folder / "plan.json").write_text(json.dumps(plan))
        (folder / "config.json").write_text(json.dumps(settings))
        files = ("--plan", str(folder / "plan.json"), "--config", str(folder / "config.json"))
        return project.branchline("run", *files, "--yes", "--json")

    with ThreadPoolExecutor(RUNS) as pool:
        ended = list(pool.map(one, range(RUNS)))
    assert [ran.code for ran in ended] == [0] * RUNS, [ran.err for ran in ended]
    assert project.files("main") == sorted([f"{n}.txt" for n in range(RUNS)] + ["README.md", "old.txt", "src/x.py"])
    assert project.git("status", "--porcelain") == ""
    landed = [ran.json["shipped"]["commit"] for ran in ended]
    assert all(project.git("merge-base", "--is-ancestor", commit, "main") == "" for commit in landed)
