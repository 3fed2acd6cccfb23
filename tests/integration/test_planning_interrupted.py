"""A planner that is killed, cancelled, approved twice at once; and that gives the same commits twice."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import running, token
from support import SEAM, Json, Project, sh, write
from witness import assert_untouched, see

WORK = 'case "$PWD" in */a) echo a > a.txt;; */b) echo b > b.txt;; esac'


def one(name: str) -> Json:
    said = {"id": name, "title": f"Do {name}", "prompt": f"do {name}"}
    return {**said, "depends_on": [], "write": [f"{name}.txt"], "protect": []}


ANSWER: Json = {"answer": {"goal": "both", "workstreams": [one("a"), one("b")]}}


def request(project: Project, *first: Json | str) -> list[str]:
    """`run` with a planner that does `first`, then answers."""
    config = project.root.parent / "config.json"
    agents = [
        {"id": "planner", "use": "scripted", "scripts": [[*first, ANSWER]]},
        {"id": "worker", "use": "scripted", "scripts": [[sh(WORK)]]},
    ]
    settings = {"version": 1, "agent": "worker", "agents": agents, "planning": {"agent": "planner"}}
    config.write_text(json.dumps({**settings, "gates": [{"id": "ok", "verify": ["true"]}], "ship": {"mode": "merge"}}))
    return ["run", "both", "--config", str(config), "--json"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def begin(project: Project, *args: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "branchline", *args], cwd=project.root, env={**os.environ, **project.env},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def soon(true: Callable[[], object], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def facts(project: Project, event: str) -> list[Json]:
    return [r["context"] for r in project.records() if r["event"] == event]


def hang_once(folder: Path, long: str) -> Json:
    """The first time, hang; the next times, do nothing."""
    return sh(f"test -e {folder}/began || {{ touch {folder}/began; sleep {long}; }}")


def test_killed_while_the_planner_works_then_resumed(project: Project, tmp_path: Path) -> None:
    before = see(project)
    process = begin(project, *request(project, hang_once(tmp_path, long := token())), "--yes")
    soon((tmp_path / "began").exists)
    process.kill()
    process.communicate()
    assert_untouched(project, before)
    done = project.branchline("resume", "--json")
    assert done.code == 0, done.err
    assert running(long) == [], "the planner that was left behind is ended"
    assert [w["id"] for w in done.json["workstreams"]] == ["a", "b"]
    assert len(facts(project, "plan_proposed")) == len(facts(project, "plan_complete")) == 1
    assert not list((project.root / ".runs" / done.json["run_id"] / "scratch").glob("task_003*"))
    assert project.branchline("verify").code == 0


def test_cancelled_while_the_planner_works(project: Project, tmp_path: Path) -> None:
    before = see(project)
    process = begin(project, *request(project, hang_once(tmp_path, long := token())), "--yes")
    soon((tmp_path / "began").exists)
    assert project.branchline("cancel").code == 0
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert json.loads(out)["status"] == "cancelled"
    assert running(long) == []
    assert_untouched(project, before)
    assert project.git("branch", "--list") == "* main"
    assert list((project.root / ".runs").glob("*/artifacts/archive.json"))
    assert [call["status"] for call in facts(project, "agent_called")] == ["cancelled"]
    assert project.branchline("verify").code == 0


def test_killed_while_somebody_is_asked_then_approved(project: Project) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", *request(project)[:-1]], cwd=project.root, start_new_session=True,
        stdin=follower, stdout=follower, stderr=follower, env={**os.environ, "TERM": "xterm", "CI": "", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(follower)
    shown = b""

    def asked() -> bool:
        nonlocal shown
        shown += os.read(leader, 65536) if select.select([leader], [], [], 0.1)[0] else b""
        return b"Carry it out?" in shown

    soon(asked)
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(leader)
    assert project.branchline("status", "--json").json["status"] == "waiting"
    done = project.branchline("approve", "--json")
    assert done.code == 0, done.err
    assert project.show("main", "b.txt") == "b\n"


def test_of_two_who_approve_at_once_one_carries_it_out(project: Project) -> None:
    assert project.branchline(*request(project)).code == 4
    both = [begin(project, "approve", "--json") for _ in range(2)]
    ended = [(process.communicate(timeout=90), process.returncode) for process in both]
    codes = [code for _, code in ended]
    assert codes.count(0) == 1, ended
    refusal = next(err.decode() for (_, err), code in ended if code in {1, 2})
    assert "Traceback" not in refusal
    assert "error: " in refusal
    assert "hint: " in refusal
    assert len(facts(project, "plan_complete")) == 1
    assert len([subject for subject in project.git("log", "--format=%s").splitlines() if "Merge" in subject]) == 2
    assert project.branchline("verify").code == 0


def test_approved_and_cancelled_at_once_is_one_of_the_two(project: Project) -> None:
    assert project.branchline(*request(project)).code == 4
    both = [begin(project, word, "--json") for word in ("approve", "cancel")]
    for process in both:
        _, err = process.communicate(timeout=90)
        assert b"Traceback" not in err
        assert b"internal error" not in err
        assert process.returncode in {0, 1, 2, 5}, err
    assert project.branchline("status", "--json").json["status"] in {"cancelled", "succeeded", "partial"}
    assert project.git("status", "--porcelain") == ""
    assert project.branchline("verify").code == 0


def test_the_same_answer_gives_the_same_commits(tmp_path: Path) -> None:
    commits = []
    for name, delay in (("first", 0.0), ("second", 0.3)):
        project = Project.make(tmp_path / name / "p")
        ran = project.branchline(*request(project, {"sleep": delay}, write("litter", "x")), "--yes", **SEAM)
        assert ran.code == 0, ran.err
        assert project.files("main") == ["README.md", "a.txt", "b.txt", "old.txt", "src/x.py"]
        refs = project.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags").splitlines()
        commits.append(refs)
    assert commits[0] == commits[1]
