"""Killed at any moment, a run that is resumed ends in the commit that it would have ended in undisturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from branchline.core.facts import AgentCalled, PlanComplete, ShipComplete
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from support import SEAM, Json, Project, edit, gate, workstream, write

MOMENTS = [pytest.param(seed, marks=pytest.mark.heavy if seed > 2 else ()) for seed in range(6)]
PLANNED_MOMENTS = [pytest.param(seed, marks=pytest.mark.heavy if seed else ()) for seed in range(3)]
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


@pytest.mark.parametrize("seed", MOMENTS)
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


WORK = """name=$(basename "$PWD"); sleep 0.03
case $name-$0 in c-1) echo BAD > c.txt;; d-1) echo SLOPPY > d.txt;; *) echo good > $name.txt;; esac"""
REVIEW = """if grep -q SLOPPY *.txt
then found='{"severity": "blocking", "file": "d.txt", "line": 1, "problem": "It is sloppy.", "suggestion": null}'; fi
echo '{"cost": 0.02, "answer": {"summary": "It writes a file.", "findings": ['"$found"']}}'"""


def used(cost: float) -> Json:
    return {"usage": {"input_tokens": 100, "output_tokens": 10, "cost_usd": cost}}


def planned_settings() -> Json:
    """A planner and workers that cost money, each the second choice; a gate and a review that reject one batch each."""
    planned = [
        {
            "id": name,
            "title": "",
            "prompt": "work",
            "depends_on": depends_on,
            "write": [f"{name}.txt"],
            "protect": [],
            "agent": "away",
        }
        for name, depends_on in {"a": [], "b": ["a"], "c": [], "d": []}.items()
    ]
    away = [used(0.01), {"fail": "the model is away"}]
    answer = {"answer": {"goal": "Everything at once", "workstreams": planned}}
    work = [[used(0.1), {"run": ["sh", "-c", WORK, number]}] for number in "123"]
    places = {"format": "json", "structured": "$.answer", "cost_usd": "$.cost"}
    shell = ["sh", "-c", REVIEW]
    return {
        **SETTINGS,
        "version": 1,
        "agents": [
            {"id": "away", "use": "scripted", "scripts": [away, away, away], "fallback": ["worker"]},
            {"id": "absent", "use": "scripted", "scripts": [away], "fallback": ["planner"]},
            {"id": "planner", "use": "scripted", "scripts": [[{"sleep": 0.05}, used(0.3), answer]]},
            {"id": "worker", "use": "scripted", "scripts": work},
            {"id": "critic", "command": shell, "read_command": shell, "output": places},
        ],
        "agent": "away",
        "planning": {"agent": "absent"},
        "review": {"agent": "critic", "required": True},
        "budget": {"run": 50, "attempt": 1},
        "retry": {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0.1},
    }


def asked(folder: Path) -> tuple[Project, tuple[str, ...]]:
    """A project, and the command that asks for a plan and waits for a person with it."""
    project = Project.make(folder / "p")
    config = folder / "config.json"
    config.write_text(json.dumps(planned_settings()))
    return project, ("run", "do everything", "--config", str(config), "--json")


@pytest.fixture(scope="session")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, int]:
    """The commit of an undisturbed planned run, and its number of records when it waits and when it has ended."""
    project, run = asked(tmp_path_factory.mktemp("planned"))
    assert project.branchline(*run, **SEAM).code == 4
    waiting = len(project.records())
    done = project.branchline("approve", "--json")
    assert done.code == 0, done.err
    return project.git("rev-parse", "main"), waiting, len(project.records())


@pytest.mark.parametrize("seed", PLANNED_MOMENTS)
def test_a_planned_run_killed_at_random_moments(seed: int, planned: tuple[str, int, int], tmp_path: Path) -> None:
    commit, waiting, records = planned
    chance = random.Random(seed)
    project, run = asked(tmp_path)
    if seed % 2:
        killed_at(project, chance.randrange(1, waiting), chance.random() * 0.1, *run)
        if seed % 4 == 1:
            killed_at(project, waiting - 1, chance.random() * 0.1, "resume", "--json")
        assert project.branchline("resume", "--json").code == 4
    else:
        assert project.branchline(*run, **SEAM).code == 4
    moment = chance.randrange(waiting, records)
    killed_at(project, moment, chance.random() * 0.2, "approve", "--json")
    if seed % 3 == 0:
        killed_at(project, moment + chance.randrange(2, 20), chance.random() * 0.1, "resume", "--json")
    ran = project.branchline("resume", "--json")
    if ran.code == 4:  # it was killed before it had written that the plan was accepted
        ran = project.branchline("approve", "--json")
    assert ran.code == 0 or "has succeeded" in ran.err, ran.err
    assert project.git("rev-parse", "main") == commit
    assert project.git("status", "--porcelain") == ""
    verified = project.branchline("verify")
    assert verified.code == 0, verified.out + verified.err
    check_account(RunPaths(project.root, SEAM["BRANCHLINE_RUN_ID"]))


def check_account(paths: RunPaths) -> None:
    """Each thing was done once, all money is accounted for, and no process of the run is left."""
    reading = read(paths)
    state, events = require(reading, paths), [record.event for record in reading.records]
    assert len([e for e in events if isinstance(e, PlanComplete) and e.plan]) == 1
    assert len([e for e in events if isinstance(e, ShipComplete)]) == 1
    calls = [e for e in events if isinstance(e, AgentCalled)]
    assert {"absent", "planner", "away", "worker", "critic"} == {call.agent for call in calls}
    told = sum(call.usage.cost_usd or 0.0 for call in calls)
    assert told - 1e-6 <= state.spending.total.spent <= 50
    assert not state.spending.total.reserved
    assert not [pid for pid in Path("/proc").glob("[0-9]*") if paths.marker.encode() in environ_of(pid)]


def environ_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # gone meanwhile, or somebody else's
        return b""


def test_what_an_agent_had_said_when_its_coordinator_was_killed_is_kept(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    said = [write("a.txt", "a\n"), {"run": ["sh", "-c", "date +%N >&2; sleep 0.5"]}]
    plan_file, config = project.request({"workstreams": [workstream("a", *said)]})
    log = project.root / ".runs" / SEAM["BRANCHLINE_RUN_ID"] / "attempts" / "task_005_execute_a.1" / "stderr.log"
    run = [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config), "--yes"]
    with subprocess.Popen(run, cwd=project.root, env={**os.environ, **SEAM}, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 30
        while not (log.exists() and log.stat().st_size) and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    before = log.read_bytes()
    ran = project.branchline("resume", "--json")
    assert ran.code == 0, ran.err
    lost = log.parent.with_name("task_005_execute_a.1.lost-1") / "stderr.log"
    assert lost.read_bytes() == before
    assert log.read_bytes() != before


def test_a_run_that_was_killed_as_it_began_takes_nothing_from_the_day(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    for number, torn in enumerate((b"", b'{"event":"run_st')):
        ledger = project.root / ".runs" / f"01HF000000000000000000000{number}" / "logs" / "run.jsonl"
        ledger.parent.mkdir(parents=True)
        ledger.write_bytes(torn)
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"), used(0.5))]}, {"budget": {"day": 1}})
    assert ran.code == 0, ran.err


def cut(project: Project, event: str, *, keep: bool) -> None:
    """Take the end of the ledger away from the last such record on, as if it had never been written."""
    logs = project.root / ".runs" / SEAM["BRANCHLINE_RUN_ID"] / "logs"
    lines = (logs / "run.jsonl").read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if f'"event":"{event}"'.encode() in line)
    (logs / "run.jsonl").write_bytes(b"".join(lines[: last + keep]))
    project.mark_last(SEAM["BRANCHLINE_RUN_ID"])


def test_a_run_killed_within_record_0_can_be_begun_again(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ledger = project.root / ".runs" / SEAM["BRANCHLINE_RUN_ID"] / "logs" / "run.jsonl"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b'{"event":"run_st')
    wanted: Json = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
    assert project.run(wanted, None, **SEAM).code == 0
    again = project.run(wanted, None, **SEAM)
    assert (again.code, "exists already" in again.err) == (2, True)
    assert project.branchline("verify").code == 0


def test_a_run_killed_before_it_could_say_that_it_has_ended_ends_and_is_not_reopened(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    conflict = {"workstreams": [workstream(name, write("x.txt", f"{name}\n")) for name in "ab"]}
    assert project.run(conflict, SETTINGS, **SEAM).code == 5
    cut(project, "run_end", keep=False)
    ran = project.branchline("resume", "--json")
    assert (ran.code, ran.json["status"]) == (5, "partial"), ran.err
    events = [record["event"] for record in project.records()]
    assert (events.count("run_end"), "tasks_added" in events) == (1, False)


def test_a_cancel_killed_once_it_was_noted_is_carried_out(tmp_path: Path) -> None:
    project, run = asked(tmp_path)
    assert project.branchline(*run, **SEAM).code == 4
    assert project.branchline("cancel").code == 0
    cut(project, "intent_received", keep=True)
    ran = project.branchline("resume", "--json")
    assert (ran.code, ran.json["status"]) == (1, "cancelled"), ran.err


def test_a_checkpoint_that_a_kill_at_the_very_end_kept_from_being_written_is_written(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, None, **SEAM)
    last = max((Path(ran.json["run_dir"]) / "checkpoints").glob("*_archive.json"))
    content = json.loads(last.read_text())
    last.unlink()
    refused = project.branchline("resume")
    assert (refused.code, "nothing to resume" in refused.err) == (2, True)
    assert json.loads(last.read_text()) == {**content, "timestamp": json.loads(last.read_text())["timestamp"]}


DIES = """
import os, sys
sys.path[:0] = {path!r}
deeds = iter(range({at}))
dying = ("os.rename", "os.rmdir", "os.remove")
sys.addaudithook(lambda event, args: event in dying and next(deeds, None) is None and os.kill(os.getpid(), 9))
from branchline.cli.boundary import guarded
guarded(["gc"])
"""


def test_gc_finishes_what_a_gc_that_was_killed_had_begun(tmp_path: Path) -> None:
    project, state = Project.make(tmp_path / "p"), tmp_path / "state"
    settings = {"ship": {"mode": "merge"}, "approvals": {"ship": True}}
    at_home = {"BRANCHLINE_STATE": str(state)}
    waits = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, settings, **at_home)
    assert waits.code == 4
    assert project.branchline("cancel", waits.json["run_id"], **at_home).code == 0
    assert list(state.glob("*/*/w/a/.git"))
    for at in range(1, 100):
        code = DIES.format(path=[path for path in sys.path if path], at=at)
        environ = {**os.environ, **at_home}
        done = subprocess.run([sys.executable, "-c", code], cwd=project.root, env=environ, check=False)
        if done.returncode == 0:
            break
    assert at > 2
    assert [path.name for path in state.glob("*/*")] == ["objects"]  # the links that all workspaces share
