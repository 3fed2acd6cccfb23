"""Killed at any moment, a run that is resumed ends in the commit that it would have ended in undisturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import SEAM, Json, Project, edit, gate, workstream, write

MOMENTS = 25
SETTINGS: Json = {
    "gates": [
        gate("clean", "! grep -rn BAD *.txt"),
        {"id": "tidy", "kind": "format", "verify": ["true"], "fix": ["true"]},
    ],
    "ship": {"mode": "merge"},
}


def plan() -> Json:
    """A dependency, a repair, a conflict and a plain workstream: every path of the pipeline in one."""
    return {
        "goal": "Everything at once",
        "workstreams": [
            workstream("a", write("a.txt", "a\n"), edit("src/x.py", "1", "2")),
            workstream("b", write("b.txt", "b\n"), {"sleep": 0.05}, write("shared.txt", "b\n"), depends_on=["a"]),
            workstream("c", write("c.txt", "BAD\n"), repair_scripts=[[write("c.txt", "good\n")]]),
            workstream("d", write("shared.txt", "d\n")),
        ],
    }


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The commit on main and the number of records of a run that nobody disturbs."""
    project = Project.make(tmp_path_factory.mktemp("undisturbed") / "p")
    ran = project.run(plan(), SETTINGS, **SEAM)
    assert ran.code == 5, ran.err
    return project.git("rev-parse", "main"), len(project.records())


def killed_at(project: Project, records: int, delay: float, *args: str) -> bool:
    """Run a command and SIGKILL it once the ledger has that many records and `delay` seconds more have passed."""
    ledger = project.root / ".runs" / SEAM["BRANCHLINE_RUN_ID"] / "logs" / "run.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", *args],
        cwd=project.root,
        env={**os.environ, **SEAM},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < until:
        if ledger.exists() and ledger.read_bytes().count(b"\n") >= records:
            time.sleep(delay)
            break
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("seed", range(MOMENTS))
def test_killed_at_a_random_moment_then_resumed(seed: int, undisturbed: tuple[str, int], tmp_path: Path) -> None:
    commit, records = undisturbed
    chance = random.Random(seed)
    project = Project.make(tmp_path / "p")
    plan_file, config = project.request(plan(), SETTINGS)
    moment = chance.randrange(1, records)
    run = ("run", "--plan", str(plan_file), "--config", str(config), "--yes", "--json")
    killed_at(project, moment, chance.random() * 0.08, *run)
    if seed % 3 == 0:  # and once more during the resume
        killed_at(project, min(records, moment + chance.randrange(2, 12)), chance.random() * 0.05, "resume", "--json")
    ran = project.branchline("resume", "--json")
    if ran.code == 2:  # it had ended before the signal came
        assert "nothing to resume" in ran.err
    else:
        assert ran.code == 5, ran.err
    assert project.git("rev-parse", "main") == commit
    assert project.git("status", "--porcelain") == ""
    verified = project.branchline("verify")
    assert verified.code == 0, verified.out + verified.err
    once = [r for r in project.records() if r["event"] == "ship_complete"]
    assert len(once) == 1
    subjects = project.git("log", "--format=%s", "main").splitlines()
    assert len([s for s in subjects if s.startswith("Merge workstream")]) == 3
