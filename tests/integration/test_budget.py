"""Money: reserved before dispatch, kept across a resume, never zero where it is unknown."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import Json, Project, Ran, sh, workstream, write


def paid(name: str, cost: float | None, **fields: Any) -> Json:
    """A workstream whose agent says that it cost so much."""
    usage = {"usage": {"input_tokens": 1000, "output_tokens": 100, "cost_usd": cost}}
    return workstream(name, write(f"{name}.txt", "x\n"), usage, **fields)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def states(ran: Ran) -> dict[str, str]:
    return {w["id"]: w["state"] for w in ran.json["workstreams"]}


def reservations(project: Project) -> dict[str, float]:
    moves = [r for r in project.records() if r.get("new_state") == "RUNNING"]
    return {r["task_id"]: r["context"]["reserved_usd"] for r in moves if "reserved_usd" in r["context"]}


def test_nothing_is_reserved_where_nothing_is_limited(project: Project) -> None:
    assert project.run({"workstreams": [paid("a", 1.0)]}).code == 0
    assert reservations(project) == {}


def test_money_that_is_spent_starts_no_further_agent_and_more_of_it_does(project: Project) -> None:
    plan = {"workstreams": [paid("a", 1.5), paid("b", 1.5, depends_on=["a"]), paid("c", 1.5, depends_on=["b"])]}
    ran = project.run(plan, {"budget": {"run": 2, "attempt": 2}})
    assert ran.code == 5, ran.err
    assert states(ran)["a"] == "COMPLETED"
    assert "c" not in [w["id"] for w in ran.json["workstreams"] if w["state"] == "COMPLETED"]
    assert "the budget of run, $2.00, is spent" in ran.err
    assert reservations(project) == {"task_007_execute_a": 2.0, "task_008_execute_b": 0.5}
    more = project.branchline("resume", ran.json["run_id"], "--budget", "9", "--json")
    assert more.code == 0, more.err
    assert states(more) == {"a": "COMPLETED", "b": "COMPLETED", "c": "COMPLETED"}


def test_agents_that_work_at_once_share_what_there_is(project: Project) -> None:
    plan = {"workstreams": [paid(name, 0.9) for name in "abcd"]}
    ran = project.run(plan, {"budget": {"run": 4}, "max_parallel": 4})
    assert ran.code == 0, ran.err
    assert set(reservations(project).values()) == {1.0}


@pytest.mark.parametrize(("policy", "code"), [("refuse", 5), ("allow", 0)])
def test_an_unknown_cost_is_not_zero(project: Project, policy: str, code: int) -> None:
    plan = {"workstreams": [paid("a", None), paid("b", 0.1, depends_on=["a"])]}
    ran = project.run(plan, {"budget": {"run": 8, "unknown": policy}})
    assert ran.code == code, ran.err
    told = project.branchline("costs", ran.json["run_id"], "--json").json
    assert "unknown" in json.dumps(told)
    if policy == "refuse":
        assert "cost is unknown" in ran.err
        assert "--budget" in project.branchline("status", ran.json["run_id"], "--json").json["next"]
        more = project.branchline("resume", ran.json["run_id"], "--budget", "20", "--json")
        assert more.code == 0, "whoever says what may be spent has seen what is unknown"


def test_a_price_table_makes_tokens_money(project: Project) -> None:
    settings: Json = {
        "prices": {"m-*": {"input": 1000, "output": 10000}}, "budget": {"run": 9},
        "agents": [{"id": "mine", "use": "scripted", "model": "m-1"}], "agent": "mine",
    }  # fmt: skip
    ran = project.run({"workstreams": [paid("a", None)]}, settings)
    assert ran.code == 0, ran.err
    usage = next(r["context"]["usage"] for r in project.records() if r["event"] == "agent_called")
    assert (usage["cost_usd"], usage["cost_source"]) == (2.0, "computed")


def test_an_agent_that_runs_over_its_reservation_is_stopped(project: Project) -> None:
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 5.0}}
    plan = {"workstreams": [workstream("a", write("a.txt", "x\n"), usage, "hang")]}
    ran = project.run(plan, {"budget": {"attempt": 1}, "retry": {"max_attempts": 1}})
    assert ran.code == 1
    assert "it reached its budget" in ran.err
    called = next(r["context"] for r in project.records() if r["event"] == "agent_called")
    assert (called["status"], called["error_class"]) == ("limit", "budget")


def test_what_the_day_has_left_counts_for_all_runs(project: Project) -> None:
    settings: Json = {"budget": {"day": 2, "attempt": 1}}
    assert project.run({"workstreams": [paid("a", 1.5)]}, settings).code == 0
    second = project.run({"workstreams": [paid("b", 0.4)]}, settings)
    assert second.code == 0, second.err
    assert 0.4 < max(reservations_of(project, second)) <= 0.5 + 1e-9
    third = project.run({"workstreams": [paid("c", 0.4)]}, settings)
    assert third.code == 0
    fourth = project.run({"workstreams": [paid("d", 0.4)]}, settings)
    assert fourth.code == 2
    assert "the budget of the day" in fourth.err


def reservations_of(project: Project, ran: Ran) -> list[float]:
    records = project.records(ran.json["run_id"])
    return [r["context"]["reserved_usd"] for r in records if "reserved_usd" in r.get("context", {})]


def test_what_a_killed_run_had_reserved_counts_as_spent_after_its_resume(project: Project, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    wait = sh(f"test -e {flag} || {{ touch {flag}; sleep 60; }}")
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 0.25}}
    plan = {"workstreams": [workstream("a", wait, write("a.txt", "x\n"), usage)]}
    plan_file, config = project.request(plan, {"budget": {"run": 3, "attempt": 1, "unknown": "allow"}})
    flags = ("--plan", str(plan_file), "--config", str(config), "--yes", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "run", *flags], cwd=project.root, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, **project.env},
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not flag.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = project.branchline("resume", "--json")
    assert done.code == 0, done.err
    told = project.branchline("costs", "--json").out
    assert "0.25" in told
    from branchline.ledger.log import read, require
    from branchline.ledger.paths import RunPaths

    paths = RunPaths(project.root, done.json["run_id"])
    assert require(read(paths), paths).spending.total.spent == pytest.approx(1.25)


def test_repairs_end_when_their_money_is_spent(project: Project) -> None:
    usage = {"usage": {"input_tokens": 1, "output_tokens": 1, "cost_usd": 1.0}}
    rounds = [[write("a.txt", f"{n}\n"), usage] for n in range(2, 8)]
    plan = {"workstreams": [workstream("a", write("a.txt", "1\n"), usage, repair_scripts=rounds)]}
    gates = [{"id": "no", "verify": ["false"]}]
    ran = project.run(plan, {"gates": gates, "repair": {"rounds": 6, "usd": 2}})
    assert ran.code == 1
    executed = [r for r in project.records() if r["event"] == "execute_ws_complete"]
    assert len(executed) == 3, "the first round, and two repairs of a dollar each"
