"""Agents whose processes misbehave: they do nothing, hang, ignore SIGTERM, leave daemons, die, are not there."""

import stat
import sys
import time
from pathlib import Path

import pytest

from processes import running, token
from support import Json, Project, fate, sh, workstream, write
from witness import assert_no_worktrees, assert_untouched, see

MERGE: Json = {"ship": {"mode": "merge"}, "repair": {"rounds": 0}}
ONCE: Json = {**MERGE, "retry": {"max_attempts": 1}}
TOOL = "#!/bin/sh\n"


def test_doing_nothing_and_hanging_are_failures_and_the_others_land(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("idle", sh("true")),
            workstream("undone", write("old.txt", "changed\n"), write("old.txt", "o\n")),
            workstream("hangs", write("half.txt", "h\n"), "hang", timeout="300ms"),
            workstream("later", write("later.txt", "l\n"), depends_on=["hangs"]),
            workstream("good", write("good.txt", "g\n")),
        ]
    }
    ran = project.run(plan, MERGE)
    assert ran.code == 5, ran.err
    assert "Traceback" not in ran.err
    for name in ("idle", "undone"):
        assert fate(ran, name) == {
            "id": name, "state": "FAILED", "reason": "agent scripted: the agent changed nothing"
        }  # fmt: skip
    assert fate(ran, "hangs") == {"id": "hangs", "state": "FAILED", "reason": "agent scripted: stopped after 0.3 s"}
    assert fate(ran, "later")["state"] == "CANCELLED"
    assert project.files("main") == ["README.md", "good.txt", "old.txt", "src/x.py"]
    moves = [
        r for r in project.records() if r["event"] == "state_transition" and r["task_id"].endswith("execute_hangs")
    ]
    assert [(m["new_state"], m["attempt"]) for m in moves] == [
        ("RUNNING", 1), ("FAILED", 1), ("PENDING", 1), ("RUNNING", 2), ("FAILED", 2),
    ]  # fmt: skip
    assert {m["context"]["error_class"] for m in moves if m["new_state"] == "FAILED"} == {"timeout"}
    attempts = project.git("for-each-ref", "--format=%(refname)", f"refs/branchline/{ran.json['run_id']}/attempts/")
    halves = [project.show(ref, "half.txt") for ref in attempts.splitlines() if "execute_hangs" in ref]
    assert halves == ["h\n", "h\n"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found through /proc")
def test_no_process_of_an_agent_survives_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    mine, long = tmp_path / "began", token()
    mine.mkdir()
    deaf = f"trap '' TERM; (trap '' TERM; touch {mine}/child; sleep {long}) & touch {mine}/deaf; sleep {long}"
    daemon = f"setsid sh -c 'touch {mine}/daemon; sleep {long}' < /dev/null > /dev/null 2>&1 & sleep 0.2"
    nohup = f"trap '' HUP; sleep {long} & touch {mine}/nohup"
    plan = {
        "workstreams": [
            workstream("deaf", write("deaf.txt", "d\n"), sh(deaf), timeout="1s"),
            workstream("daemon", write("daemon.txt", "d\n"), sh(daemon), sh(nohup)),
        ]
    }
    began = time.monotonic()
    ran = project.run(plan, ONCE)
    spent = time.monotonic() - began
    assert ran.code == 5, ran.err
    assert fate(ran, "deaf") == {"id": "deaf", "state": "FAILED", "reason": "agent scripted: stopped after 1 s"}
    assert fate(ran, "daemon")["state"] == "COMPLETED"
    assert project.files("main") == ["README.md", "daemon.txt", "old.txt", "src/x.py"]
    assert len(list(mine.iterdir())) == 4
    assert running(long) == []
    assert spent < 60
    assert_no_worktrees(project)


def tool(folder: Path, name: str, text: str, mode: int = 0o755) -> str:
    """An agent's program."""
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_agents_that_die_talk_nonsense_or_wreck_their_own_records(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    kinds = {
        "dies": (TOOL + "echo x > dies.txt; kill -SEGV $$\n", "ended by signal"),
        "exits": (TOOL + "echo x > exits.txt; echo 'no credit left' >&2; exit 7\n", "no credit left"),
        "babbles": (TOOL + "head -c 3000000 /dev/urandom; printf '\\033]0;owned\\007bad\\377' >&2; exit 1\n", ""),
        "wrecks": (TOOL + 'cd "$TMPDIR/.." && rm -rf ./* && mkfifo stdout.log result.json && mkdir request.json; exit 1\n', ""),
        "torn": ("#!/nowhere/interpreter\n", ""),
    }  # fmt: skip
    agents = [{"id": name, "command": [tool(tmp_path, name, text), "{prompt}"]} for name, (text, _) in kinds.items()]
    plan = {
        "workstreams": [
            {
                "id": name,
                "scope": {"write": ["**"]},
                "agent": name,
                "prompt": "Do it.\0" if name == "torn" else "Do it.",
            }
            for name in kinds
        ]
    }
    before = see(project)
    ran = project.run(plan, {**ONCE, "agents": agents})
    assert ran.code == 1, ran.err
    for name, (_, words) in kinds.items():
        assert fate(ran, name)["state"] == "FAILED"
        assert words in fate(ran, name)["reason"], name
        assert "internal error" not in fate(ran, name)["reason"]
    assert "\x1b" not in ran.err
    assert ran.json["integration"] is None
    assert_untouched(project, before)
    assert project.branchline("verify").code == 0
    for name in kinds:
        task = next(r["task_id"] for r in project.records() if r.get("task_id", "").endswith(f"execute_{name}"))
        shown = project.branchline("show", ran.json["run_id"], task)
        assert shown.code == 0, shown.err
        assert "\x1b" not in shown.out


def test_an_agent_that_is_not_there_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = see(project)
    agents = [
        {"id": "missing", "command": ["no-such-agent", "{prompt}"]},
        {"id": "closed", "command": [tool(tmp_path, "closed", TOOL, stat.S_IRUSR), "{prompt}"]},
    ]
    plan = {
        "workstreams": [
            {"id": name, "scope": {"write": ["**"]}, "prompt": "Do it.", "agent": name}
            for name in ("missing", "closed")
        ]
    }
    ran = project.run(plan, {**ONCE, "agents": agents})
    assert ran.code == 1, ran.err
    assert "agent missing cannot run here" in ran.err
    assert "no-such-agent" in ran.err
    assert "agent closed cannot run here" in ran.err
    assert {w["state"] for w in ran.json["workstreams"]} == {"CANCELLED"}
    assert_untouched(project, before)
    assert project.git("for-each-ref", "refs/heads/feature", "refs/heads/integration") == ""
    assert "missing" in project.branchline("status").out + project.branchline("show").out


def test_an_agent_that_closes_its_streams_and_waits_is_ended(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    close = [sys.executable, "-I", "-S", "-c", "import os, time\nos.close(1); os.close(2)\ntime.sleep(300)"]
    agents = [{"id": "mute", "command": close}]
    plan = {"workstreams": [{"id": "a", "scope": {"write": ["**"]}, "agent": "mute", "timeout": "500ms"}]}
    ran = project.run(plan, {**ONCE, "agents": agents})
    assert ran.code == 1, ran.err
    assert fate(ran, "a")["reason"] == "agent mute: stopped after 0.5 s"
