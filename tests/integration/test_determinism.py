"""The same plan gives the same tree; with run id and start time held fixed, the same commit."""

import json
import os
import random
from pathlib import Path

import pytest

from support import SEAM, Json, Project, gate, workstream, write

CASES: list[tuple[int, int, dict[str, str]]] = [  # workers, who finishes first, where and by which hash
    (1, 0, {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"}),
    (2, 1, {"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"}),
    (3, 2, {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "POSIX"}),
    (8, 3, {"PYTHONHASHSEED": "4294967295", "TZ": "Pacific/Kiritimati", "LANG": "tr_TR.UTF-8"}),
    (16, 4, {"PYTHONHASHSEED": "random", "TZ": "Pacific/Pago_Pago", "LC_ALL": "ja_JP.eucJP"}),
    (64, 5, {"PYTHONHASHSEED": "7", "TZ": ":nowhere", "LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de"}),
]
if "WORKERS" in os.environ:  # make workers
    CASES = [(number, number, {"PYTHONHASHSEED": str(number), "TZ": f"X{number % 12}"}) for number in range(1, 65)]


def plan(seed: int) -> Json:
    """Six workstreams that take turns in finishing first; two of them conflict."""
    chance = random.Random(seed)
    names = ["a", "b", "c", "d", "e", "f"]
    made = []
    for name in names:
        script: list[Json] = [{"sleep": round(chance.random() * 0.3, 3)}, write(f"{name}.txt", f"{name}\n")]
        if name in "be":
            script.append(write("shared.txt", f"{name}\n"))
        made.append(workstream(name, *script, depends_on=["c"] if name == "a" else []))
    return {"goal": "Order does not matter", "workstreams": made}


def shipped(folder: Path, parallel: int, seed: int, **env: str) -> tuple[str, str]:
    project = Project.make(folder)
    settings = {"ship": {"mode": "merge"}, "gates": [gate("readme", "test -f README.md")]}
    ran = project.run(plan(seed), settings, "--max-parallel", str(parallel), **env)
    assert ran.code == 5, ran.err
    assert [w["id"] for w in ran.json["workstreams"] if w["state"] != "COMPLETED"] == ["e"]
    return project.git("rev-parse", "main"), project.tree("main")


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return shipped(tmp_path_factory.mktemp("first") / "p", 4, 99, **SEAM)


@pytest.mark.parametrize(
    ("parallel", "seed", "env"),
    [pytest.param(*case, id=str(case[0]), marks=pytest.mark.heavy if case[0] in {2, 3, 16} else ()) for case in CASES],
)
def test_one_commit_whoever_finishes_first(
    parallel: int, seed: int, env: dict[str, str], first: tuple[str, str], tmp_path: Path
) -> None:
    assert shipped(tmp_path / "p", parallel, seed, **SEAM, **env) == first


def test_one_tree_between_runs(first: tuple[str, str], tmp_path: Path) -> None:
    commit, tree = shipped(tmp_path / "p", 3, 5, PYTHONHASHSEED="7", TZ="Asia/Tokyo", LC_ALL="C")
    assert tree == first[1]
    assert commit != first[0]


def planned(folder: Path, parallel: int, seed: int, **env: str) -> str:
    """The commit on main after a planner has made the plan, and its agents, each a second choice, took their time."""
    chance = random.Random(seed)
    names = "abcdef"
    pauses = " ".join(f"{name}) sleep {chance.random() * 0.3:.3f};;" for name in names)
    away = [{"sleep": round(chance.random() * 0.1, 3)}, {"fail": "the model is away"}]
    work = 'name=$(basename "$PWD"); case $name in ' + pauses + " esac; echo $name > $name.txt; "
    work += "case $name in b|e) echo $name > shared.txt;; esac"
    workstreams = [
        {
            "id": name,
            "title": f"Do {name}",
            "prompt": "work",
            "depends_on": ["c"] if name == "a" else [],
            "write": [f"{name}.txt", *(["shared.txt"] if name in "be" else [])],
            "protect": [],
            "agent": "away",
        }
        for name in names
    ]
    answer = [{"answer": {"goal": "Order does not matter", "workstreams": workstreams}}]
    settings = {
        "version": 1,
        "agent": "away",
        "agents": [
            {"id": "planner", "use": "scripted", "scripts": [[{"answer": {"goal": "no"}}], answer]},
            {"id": "away", "use": "scripted", "scripts": [away], "fallback": ["worker"]},
            {"id": "worker", "use": "scripted", "scripts": [[{"run": ["sh", "-c", work]}]]},
        ],
        "planning": {"agent": "planner", "overlap": "allow"},
        "budget": {"run": 20},
        "gates": [gate("readme", "test -f README.md")],
        "ship": {"mode": "merge"},
    }
    config = folder / "config.json"
    config.write_text(json.dumps(settings))
    project = Project.make(folder / "p")
    flags = ("--config", str(config), "--max-parallel", str(parallel), "--yes", "--json")
    ran = project.branchline("run", "do everything", *flags, **SEAM, **env)
    assert ran.code == 5, ran.err
    assert [w["id"] for w in ran.json["workstreams"] if w["state"] != "COMPLETED"] == ["e"]
    return project.git("rev-parse", "main")


@pytest.mark.heavy
def test_one_commit_whoever_plans_it_and_finishes_first(tmp_path: Path) -> None:
    cases: list[tuple[int, dict[str, str]]] = [
        (1, {"LC_ALL": "C", "TZ": "Asia/Tokyo"}),
        (3, {"PYTHONHASHSEED": "7", "LANG": "de_DE.UTF-8", "TZ": "America/St_Johns"}),
        (8, {"LC_ALL": "C.UTF-8", "TZ": "UTC"}),
    ]
    made = set()
    for parallel, env in cases:
        folder = tmp_path / str(parallel)
        folder.mkdir()
        made.add(planned(folder, parallel, parallel, **env))
    assert len(made) == 1
