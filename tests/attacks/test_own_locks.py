"""A git of ours that is killed leaves locks: the next attempt of the live run finds none of them (attack 14)."""

import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from branchline.core.events import RunPolicy, Transition
from branchline.core.graph import Task
from branchline.core.retry import RetryPolicy
from branchline.core.run_state import replay
from branchline.core.scheduler import decide, wake_at
from branchline.core.states import State
from branchline.engine.recover import Clock
from strategies import started
from support import IDENTITY, Json, Project, workstream, write

PLAN: Json = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
SHIP: Json = {"ship": {"mode": "merge"}, "retry": {"max_attempts": 1}}
GIT = """#!/bin/sh
# Each of these calls is killed once, and leaves its lock behind.
{rules}
exec {git} "$@"
"""
RULE = """case "$*" in {words}) if [ ! -e {once} ]; then
  case "$*" in *--stdin*) cat > {once}.in; exec < {once}.in; tr '\\0' ' ' < {once}.in | grep -q "{asked}";; *) true;; esac && {{
    : > {once}; for lock in {locks}; do mkdir -p "$(dirname "$lock")"; : > "$lock"; done; kill -9 $$; }}
  case "$*" in *--stdin*) exec < {once}.in;; esac
fi;; esac
"""
RUN = "01HF0000000000000000000000"
OWN = f"refs/branchline/{RUN}"
SHARED = "HEAD.lock packed-refs.lock refs/heads/main.lock"
# words of the call, what stands in its input, the locks that it leaves
CASES: dict[str, list[tuple[str, str, str]]] = {
    "refs of its own": [
        ("*update-ref*checkpoint/preflight*", "", f"{OWN}/checkpoint/preflight.lock"),
        (f"*update-ref*{OWN}/head*", "", f"{OWN}/head.lock"),
        ("*update-ref*--stdin*", "feature/a", f"refs/heads/feature/a-{RUN}.lock"),
    ],
    "what moves the target": [("*update-ref*--stdin*", "main", SHARED)],
    "the rest": [
        ("*show-ref*", "", ""),
        ("*hash-object*", "", "objects/ab/tmp_obj_x"),
        ("*write-tree*", "", ""),
        ("*merge-tree*", "", ""),
        ("*commit-tree*", "", ""),
        ("*read-tree*-m*-u*", "", ""),
        ("*cat-file*", "", ""),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_a_git_that_is_killed_costs_the_run_nothing(tmp_path: Path, case: str) -> None:
    project, path = Project.make(tmp_path / "p"), tmp_path / "bin" / "git"
    git = subprocess.run(["sh", "-c", "command -v git"], capture_output=True, text=True, check=True).stdout.strip()
    left = [[project.root / ".git" / name for name in names.split()] for _, _, names in CASES[case]]
    rules = [
        RULE.format(words=words, asked=asked, once=tmp_path / f"once-{number}", locks=" ".join(map(str, left[number])))
        for number, (words, asked, _) in enumerate(CASES[case])
    ]
    path.parent.mkdir()
    path.write_text(GIT.format(rules="".join(rules), git=git))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    ran = project.run(PLAN, SHIP, BRANCHLINE_RUN_ID=RUN, PATH=f"{path.parent}:{os.environ['PATH']}")
    killed = [(tmp_path / f"once-{number}").exists() for number in range(len(rules))]
    assert (ran.code, killed) == (0, [True] * len(rules)), ran.err
    assert project.show("main", "a.txt") == "a\n"
    assert project.branchline("verify").code == 0
    assert [lock for locks in left for lock in locks if lock.suffix == ".lock" and lock.exists()] == []


@pytest.mark.parametrize(
    "where", [f"{OWN}/attempts/task_005_execute_a/1", f"refs/heads/integration/{RUN}", f"{OWN}/deep"]
)
def test_a_lock_of_its_own_refs_that_is_there_already_goes(tmp_path: Path, where: str) -> None:
    project = Project.make(tmp_path / "p")
    lock = project.root / ".git" / f"{where}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("")
    ran = project.run(PLAN, SHIP, BRANCHLINE_RUN_ID=RUN)
    assert ran.code == 0, ran.err
    assert lock.exists() == where.endswith("deep"), "only what the run writes is its own"


def test_a_lock_of_the_user_that_was_there_before_stays(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    lock = project.root / ".git" / "refs" / "heads" / "main.lock"
    lock.write_text("")
    ran = project.run(PLAN, SHIP)
    assert ran.code != 0
    assert lock.exists()
    assert project.show("main", "a.txt") is None
    assert ran.json["shipped"] is None


def test_while_another_git_lives_here_no_lock_goes(tmp_path: Path) -> None:
    from branchline.git import locks

    project = Project.make(tmp_path / "p")
    lock = project.root / ".git" / "x.lock"
    lock.write_text("")
    env = {name: value for name, value in os.environ.items() if name != "BRANCHLINE_ATTEMPT"} | IDENTITY
    # A session of its own that is nobody's child: as a user's git in another terminal is.
    script = f"(setsid git -C {project.root} cat-file --batch <> {project.root}/pipe >/dev/null 2>&1 & echo $! > {project.root}/pid)"
    os.mkfifo(project.root / "pipe")
    subprocess.run(["sh", "-c", script], env=env, check=True)
    time.sleep(0.2)
    pid = int((project.root / "pid").read_text())
    try:
        assert locks.others_at_work([project.root])
        assert not locks.others_at_work([tmp_path / "elsewhere"])
    finally:
        os.kill(pid, 9)
    assert locks.release(locks.seen([lock]), [project.root])
    assert not lock.exists()


def test_a_lock_that_changes_hands_stays(tmp_path: Path) -> None:
    from branchline.git import locks

    lock = tmp_path / "x.lock"
    lock.write_text("")
    found = locks.seen([lock])

    def taken_meanwhile(_: object) -> bool:
        lock.unlink()
        (tmp_path / "other").write_text("a")
        (tmp_path / "other").rename(lock)
        return False

    assert not locks.release(found, [tmp_path], strangers=taken_meanwhile)
    assert lock.exists()


def test_time_goes_on_when_the_clock_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = iter([10_000, 11_000, 3_000, 3_500, 90_000])
    steady = iter([0, 1_000, 2_000, 2_500, 3_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(wall) * 1_000_000)
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(steady) * 1_000_000)
    clock = Clock()
    assert [clock() for _ in range(4)] == [11_000, 12_000, 12_500, 99_000]


def test_a_time_that_is_too_far_away_has_come() -> None:
    """Its retry was to be in an hour at most; the clock has been put back by a day since, and another process goes on."""
    first = started(Task(id="a"), policy=RunPolicy(retry=RetryPolicy(max_seconds=3600)))
    for ahead, waits in ((3_600_000, True), (86_400_000, False)):
        state = replay([first])
        for old, new, at in (
            (State.PENDING, State.RUNNING, None),
            (State.RUNNING, State.FAILED, None),
            (State.FAILED, State.PENDING, 5_000 + ahead),
        ):
            state.apply(Transition(task_id="a", old_state=old, new_state=new, attempt=1, retry_at=at))
        assert (decide(state, 5_000) == []) == waits
        assert wake_at(state, 5_000) == (5_000 + ahead if waits else None)
