"""Input C11: whatever fails after the target has moved, exit code, recap, status, verify, rollback and git agree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import Json, Project, Ran, workstream, write

PLAN: Json = {"workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", write("b.txt", "b\n"))]}
SHIP: Json = {"ship": {"mode": "merge"}, "retry": {"max_attempts": 1}}

FAILING_GIT = """#!/bin/sh
# The {at}-th git after main has moved fails, and {more} after it.
if [ "$({git} --git-dir={common} rev-parse main)" != {base} ]; then
  echo x >> {calls}
  n=$(wc -l < {calls})
  if [ "$n" -ge {at} ] && [ "$n" -le {last} ]; then echo "fatal: no more of it" >&2; exit 128; fi
fi
exec {git} "$@"
"""

NO_THREAD = """
import sys, threading, subprocess
sys.argv[0] = "branchline"
start = threading.Thread.start
def failing(self):
    here = subprocess.run(["git", "rev-parse", "main"], capture_output=True, text=True).stdout.strip()
    if here != {base!r}:
        raise {error}
    start(self)
threading.Thread.start = failing
from branchline.cli import main
sys.exit(main())
"""


def require_true(project: Project, ran: Ran, base: str) -> None:
    """All that tells of the run says what git says, and a moved target can be moved back."""
    assert "Traceback" not in ran.err, ran.err
    told, there = ran.json, project.git("rev-parse", "main")
    run_id = told["run_id"]
    assert ran.code == told["exit_code"]
    assert (told["shipped"] is not None) == (there != base), (told, ran.err)
    assert (ran.code == 0) == (there != base), ran.err
    status = project.branchline("status", run_id, "--json").json
    assert (status["status"] == "succeeded") == (there != base)
    assert project.branchline("verify", run_id).code == 0
    if there != base:
        assert told["shipped"]["commit"] == there
        assert project.branchline("rollback", run_id).code == 0
        assert project.tree("main") == project.tree(base)
    else:
        again = project.branchline("resume", run_id, "--json")
        assert again.code == 0, again.err
        assert project.git("rev-parse", "main") == again.json["shipped"]["commit"]


NAMES = {
    "a tag where our folder of tags goes": ["tag", "release"],
    "a branch in the place of the tag's folder": ["update-ref", "refs/tags/release/x", "HEAD"],
    "the lock of a tag": [],
    "a hook that refuses tags": [],
    "a hook that refuses all": [],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_in_the_way_is_told_before_or_after_but_truly(tmp_path: Path, name: str) -> None:
    project = Project.make(tmp_path / "p")
    base = project.git("rev-parse", "main")
    hook = project.root / ".git/hooks/reference-transaction"
    if NAMES[name]:
        project.git(*NAMES[name])
    elif "hook" in name:
        refused = "refs/tags/" if "tags" in name else "refs/heads/main"
        hook.write_text(f'#!/bin/sh\n[ "$1" = prepared ] && grep -q {refused} && exit 1; exit 0\n')
        hook.chmod(0o755)
    else:
        lock = project.root / ".git/refs/tags/release"
        lock.mkdir(parents=True)
        (lock / "x.lock").touch()
    ran = project.run(PLAN, SHIP)
    hook.unlink(missing_ok=True)
    if NAMES[name] == ["tag", "release"]:
        project.git("tag", "-d", "release")
    if ran.code == 2:  # found before anything was paid for
        assert project.git("rev-parse", "main") == base
        return
    require_true(project, ran, base)


CALLS = [1, 3, 8]


def failing_git(project: Project, folder: Path, at: int, last: int) -> Path:
    real, calls = shutil.which("git"), folder / "calls"
    (folder / "bin").mkdir()
    script = FAILING_GIT.format(
        git=real, common=project.root / ".git", base=project.git("rev-parse", "main"), calls=calls, at=at, last=last,
        more="all" if last > at else "none",
    )  # fmt: skip
    (folder / "bin/git").write_text(script)
    (folder / "bin/git").chmod(0o755)
    return calls


@pytest.mark.parametrize("more", ["alone", "and all after it"])
@pytest.mark.parametrize(
    "at", [pytest.param(one, marks=() if one in CALLS else pytest.mark.heavy) for one in range(1, 40)]
)
def test_a_git_that_fails_after_the_move(tmp_path: Path, at: int, more: str) -> None:
    project = Project.make(tmp_path / "p")
    base = project.git("rev-parse", "main")
    calls = failing_git(project, tmp_path, at, at if more == "alone" else 10_000)
    ran = project.run(PLAN, SHIP, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    if at in (2, 3, 5):  # the first one's failure takes main back
        assert project.git("rev-parse", "main") != base
        assert len(calls.read_bytes().splitlines()) >= at, "it has been reached"
    require_true(project, ran, base)


@pytest.mark.parametrize(
    "error", ['RuntimeError("can\'t start new thread")', "MemoryError()", "OSError(11, 'no more')"]
)
def test_no_thread_after_the_move(tmp_path: Path, error: str) -> None:
    project = Project.make(tmp_path / "p")
    base = project.git("rev-parse", "main")
    plan, config = project.request(PLAN, SHIP)
    code = NO_THREAD.format(base=base, error=error)
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--plan", plan, "--config", config, "--yes", "--json"],
        cwd=project.root, capture_output=True, timeout=100, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    require_true(project, Ran(done.returncode, done.stdout.decode(), done.stderr.decode()), base)


RUN = "{root}/.git/branchline/runs/*"
PLACES = {
    "the work area": 'rm -rf "$BRANCHLINE_STATE"/p-*/*/w',
    "the artifacts": f"rm -rf {RUN}/artifacts",
    "the checkpoints": f"rm -rf {RUN}/checkpoints",
    "the attempts": f"rm -rf {RUN}/attempts",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_folder_that_goes_when_the_target_moves(tmp_path: Path, place: str) -> None:
    """A hook of the user's, run by git as main moves, is the moment."""
    project = Project.make(tmp_path / "p")
    base = project.git("rev-parse", "main")
    hook = project.root / ".git/hooks/reference-transaction"
    finds = PLACES[place].format(root=project.root)
    hook.write_text(f'#!/bin/sh\n[ "$1" = committed ] && grep -q refs/heads/main$ && {finds}; exit 0\n')
    hook.chmod(0o755)
    ran = project.run(PLAN, SHIP)
    hook.unlink()
    assert "Traceback" not in ran.err
    there = project.git("rev-parse", "main")
    assert there != base
    assert ran.code == 0
    assert ran.json["shipped"]["commit"] == there
    assert project.branchline("status", ran.json["run_id"], "--json").json["status"] == "succeeded"
    assert project.branchline("rollback", ran.json["run_id"]).code == 0
    assert project.tree("main") == project.tree(base)
