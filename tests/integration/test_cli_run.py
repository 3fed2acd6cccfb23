"""`run`, `resume`, `retry`, `cancel`: driving runs from the command line, in real processes."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support import IDENTITY, SEAM, Json, Project, fate, gate, sh, workstream, write

Process = subprocess.Popen[bytes]


def one(*script: Json | str, **fields: Any) -> Json:
    return {"goal": "One thing", "workstreams": [workstream("a", *script, **fields)]}


def started(project: Project, plan: Json, settings: Json | None = None) -> Process:
    """`branchline run`, left to itself once an agent is at work."""
    plan_file, config = project.request(plan, settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config), "--json"],
        cwd=project.root,
        env={**os.environ, "NO_COLOR": "1", **SEAM},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for(lambda: any(r["event"] == "state_transition" and "execute" in r["task_id"] for r in project.records()))
    return process


def wait_for(condition: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if condition():
                return
        except (OSError, ValueError, IndexError, KeyError):
            pass
        time.sleep(0.02)
    raise AssertionError("it did not come to that in time")


def running(command: str) -> bool:
    """Whether a process with this command line is alive."""
    wanted = command.replace(" ", "\0").encode() + b"\0"
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if file.read_bytes() == wanted:
                return True
    return False


def ended(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def test_without_a_terminal_there_are_plain_lines_and_no_question(project: Project) -> None:
    plan, config = project.request(one(write("a.txt", "a\n"), title="Write a"))
    ran = project.branchline("run", "--plan", str(plan), "--config", str(config))
    assert (ran.code, ran.out) == (0, "")
    assert "\x1b" not in ran.err
    assert ran.err.startswith("One thing\n")
    assert "batch of a approved" in ran.err
    assert "Landed on integration/" in ran.err
    assert "  a  Write a" in ran.err


def test_json_is_one_object_with_the_keys_of_the_contract(project: Project) -> None:
    ran = project.run(one(write("a.txt", "a\n")), {"ship": {"mode": "merge"}})
    assert set(ran.json) == {
        "run_id", "status", "exit_code", "run_dir", "integration", "shipped", "workstreams",
    }  # fmt: skip
    assert set(ran.json["integration"]) == {"branch", "commit"}
    assert set(ran.json["shipped"]) == {"target", "commit", "tag"}
    assert ran.json["workstreams"] == [{"id": "a", "state": "COMPLETED", "reason": ""}]
    assert ran.json["exit_code"] == ran.code == 0


def test_the_prompt_is_kept_with_the_run(project: Project) -> None:
    ran = project.run(one(write("a.txt", "a\n")), None, "make it better")
    assert (Path(ran.json["run_dir"]) / "prompt.md").read_text() == "make it better\n"


def test_flags_count_before_the_environment_and_that_before_the_file(project: Project) -> None:
    settings: Json = {"max_parallel": 5, "ship": {"mode": "merge"}}
    env = {"BRANCHLINE_MAX_PARALLEL": "3", "BRANCHLINE_SHIP": "branch"}
    ran = project.run(one(write("a.txt", "a\n")), settings, "--max-parallel", "2", **env, **SEAM)
    first = project.records()[0]["context"]
    assert ran.code == 0
    assert ran.json["shipped"] is None
    assert first["policy"]["max_parallel"] == 2
    assert first["started_at"] == int(SEAM["BRANCHLINE_START_TIME"])
    assert ran.json["run_id"] == SEAM["BRANCHLINE_RUN_ID"]


def test_a_start_time_that_is_none_is_refused(project: Project) -> None:
    ran = project.run(one(write("a.txt", "a\n")), None, BRANCHLINE_START_TIME="yesterday")
    assert ran.code == 2
    assert ran.json["error"]["exit_code"] == 2
    assert "Unix milliseconds" in ran.err


def test_the_base_and_the_agent_can_be_given(project: Project) -> None:
    project.git("branch", "other")
    plan = one()
    ran = project.run(plan, {"agents": [{"id": "mine", "command": ["sh", "-c", "echo x > mine.txt"]}]}, "--agent", "mine",
                      "--base", "other", "--ship", "merge")  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.json["shipped"]["target"] == "other"
    assert project.show("other", "mine.txt") == "x\n"


def test_a_graph_runs_fails_is_skipped_past_and_is_done(project: Project, tmp_path: Path) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    graph = root / "graph.yaml"
    graph.write_text(
        "version: 1\ntasks:\n"
        "  - {id: a, run: [sh, -c, 'echo a > a.txt']}\n"
        "  - {id: b, dependencies: [a], run: ['false'], retry: {max_attempts: 1}}\n"
        "  - {id: c, dependencies: [b], trigger: completed_or_skipped, run: [sh, -c, 'echo c > c.txt']}\n"
    )
    ran = project.branchline("run", "--graph", str(graph), "--repo", str(root), "--json")
    assert (ran.code, ran.json["status"]) == (1, "failed")
    again = project.branchline("resume", "--skip", "b", "--repo", str(root), "--json")
    assert (again.code, again.json["status"]) == (0, "succeeded"), again.err
    assert (root / "c.txt").read_text() == "c\n"
    assert project.branchline("verify", "--repo", str(root)).code == 0
    done = project.branchline("resume", "--repo", str(root))
    assert done.code == 2
    assert "there is nothing to resume" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_run_and_its_agents_and_says_how_to_go_on(project: Project, number: signal.Signals) -> None:
    token = f"sleep 60.0{os.getpid()}"
    process = started(project, one(write("a.txt", "a\n"), sh(f"exec {token}")))
    wait_for(lambda: running(token))
    process.send_signal(number)
    code, out, _ = ended(process)
    assert (code, json.loads(out)["status"]) == (130, "interrupted")
    status = project.branchline("status")
    assert "interrupted" in status.out
    assert f"branchline resume {SEAM['BRANCHLINE_RUN_ID']}" in status.out
    assert not running(token)


def test_a_live_run_is_cancelled_by_asking_it(project: Project) -> None:
    process = started(project, one(write("a.txt", "a\n"), {"sleep": 60}))
    asked = project.branchline("cancel", "--json")
    assert (asked.code, asked.json["status"]) == (0, "cancelling")
    code, out, _ = ended(process)
    assert (code, json.loads(out)["status"]) == (1, "cancelled")
    again = project.branchline("cancel")
    assert again.code == 2
    assert "nothing to cancel" in again.err
    resumed = project.branchline("resume")
    assert resumed.code == 2
    assert "was cancelled" in resumed.err


def test_a_run_that_nobody_drives_is_cancelled_without_starting_anything(project: Project) -> None:
    process = started(project, one(write("a.txt", "a\n"), {"sleep": 60}))
    process.kill()
    ended(process)
    before = len(project.records())
    assert project.branchline("cancel").code == 0
    new = project.records()[before:]
    starts = [r["task_id"] for r in new if r.get("new_state") == "RUNNING" or r["event"] == "attempt_resumed"]
    assert all("archive" in name for name in starts)
    assert new[-1]["context"]["status"] == "cancelled"
    assert project.branchline("verify").code == 0


def test_a_live_run_is_not_resumed_and_its_finished_tasks_can_be_retried(project: Project) -> None:
    plan = {
        "goal": "Two",
        "workstreams": [
            workstream("a", write("a.txt", "a\n"), {"sleep": 8}, write=["a.txt"]),
            workstream("b", write("b.txt", "b\n"), write=["b.txt"]),
        ],
    }
    process = started(project, plan)
    busy = project.branchline("resume")
    assert busy.code == 1
    assert "is being driven by process" in busy.err
    wait_for(lambda: any(r["event"] == "validate_ws_pass" for r in project.records()))
    refused = project.branchline("retry", "01", "task_006_execute_a")
    assert refused.code == 2
    assert "RUNNING" in refused.err
    assert project.branchline("retry", "01", "task_007_execute_b").code == 0
    code, out, _ = ended(process)
    assert (code, json.loads(out)["status"]) == (0, "succeeded")
    assert "task_007_execute_b_r2" in {r.get("task_id") for r in project.records()}


def test_what_failed_is_retried_after_the_rest_has_shipped(project: Project) -> None:
    flag = project.root.parent / "flag"
    plan = {
        "goal": "Two",
        "workstreams": [
            workstream("a", write("a.txt", "a\n"), write=["a.txt"]),
            workstream("b", write("b.txt", "b\n"), write=["b.txt"]),
        ],
    }
    settings: Json = {
        "gates": [gate("flag", f"! test -f b.txt || test -f {flag}")], "ship": {"mode": "merge", "tag": ""}, "repair": {"rounds": 0},
    }  # fmt: skip
    ran = project.run(plan, settings)
    assert (ran.code, fate(ran, "b")["state"]) == (5, "FAILED")
    nothing = project.branchline("resume", "--json")
    assert (nothing.code, nothing.json["error"]["exit_code"]) == (2, 2)
    flag.touch()
    again = project.branchline("retry", ran.json["run_id"], "task_007_execute_b", "--json")
    assert (again.code, again.json["status"]) == (0, "succeeded"), again.err
    assert project.show("main", "a.txt") == "a\n"
    assert project.show("main", "b.txt") == "b\n"
    assert project.branchline("graph").code == 0
    assert project.branchline("verify").code == 0


class Screen:
    """A process on a terminal of its own."""

    def __init__(self, project: Project, *args: str) -> None:
        self._ours, theirs = pty.openpty()
        environ = {k: v for k, v in os.environ.items() if k not in {"CI", "NO_COLOR"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "branchline", *args],
            cwd=project.root,
            env={**environ, **IDENTITY, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"},
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        self.seen = ""

    def until(self, text: str, seconds: float = 30) -> None:
        """Read until a text appears (or the process goes away)."""
        limit = time.monotonic() + seconds
        while text not in self.seen and time.monotonic() < limit:
            if not select.select([self._ours], [], [], 0.1)[0]:
                continue
            try:
                self.seen += os.read(self._ours, 65536).decode()
            except OSError:  # the other end is closed
                break
        assert text in self.seen, self.seen

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def close(self) -> int:
        self.process.communicate(timeout=30)
        os.close(self._ours)
        return self.process.returncode


def test_on_a_terminal_the_plan_is_shown_and_asked_about(project: Project) -> None:
    plan, config = project.request(one(write("a.txt", "a\n"), {"sleep": 0.5}))
    screen = Screen(project, "run", "--plan", str(plan), "--config", str(config))
    screen.until("Go on?")
    assert "One thing" in screen.seen
    screen.type("y\n")
    screen.until("scripted is working")
    screen.until("Next")
    assert screen.close() == 0
    assert "\x1b[1mRun " in screen.seen


def test_on_a_terminal_an_interrupted_run_goes_on(project: Project) -> None:
    """The table of the second process hears the end of attempts that the first one began."""
    plan, config = project.request(one({"sleep": 1.5}, write("a.txt", "a\n")))
    screen = Screen(project, "run", "--plan", str(plan), "--config", str(config))
    screen.until("Go on?")
    screen.type("y\n")
    screen.until("scripted is working")
    screen.process.send_signal(signal.SIGINT)
    screen.until("branchline resume")
    assert screen.close() == 130
    screen = Screen(project, "resume")
    screen.until("Next")
    assert screen.close() == 0
    assert "succeeded" in screen.seen


def test_whoever_says_no_has_changed_nothing(project: Project) -> None:
    plan, config = project.request(one(write("a.txt", "a\n")))
    screen = Screen(project, "run", "--plan", str(plan), "--config", str(config))
    screen.until("Go on?")
    screen.type("n\n")
    screen.until("nothing was changed")
    assert screen.close() == 130
    assert not (project.root / ".runs").exists()
    assert project.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
