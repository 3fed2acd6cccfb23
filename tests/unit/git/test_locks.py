"""Lock files: found, and removed only when nobody can own them."""

import os
import subprocess
import sys
import time
from pathlib import Path

from branchline.git.locks import OLD_SECONDS, is_of_run, locks, locks_of_worktree, owner, owner_of_shared
from branchline.git.repo import Repo
from branchline.git.worktree import Worktrees
from unit.git.sandbox import Sandbox

NAMES = ["HEAD.lock", "config.lock", "index.lock", "packed-refs.lock", "packed-refs.new", "refs/heads/a/b.lock",
         "shallow.lock"]  # fmt: skip


def test_all_locks_of_a_repository_are_found(repo: Repo) -> None:
    for name in NAMES:
        (repo.common_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (repo.common_dir / name).touch()
    found = locks(repo.common_dir)
    assert sorted(lock.name for lock in found) == NAMES
    assert [lock.ref for lock in found if lock.ref] == ["refs/heads/a/b"]


def test_a_lock_is_a_runs_by_its_whole_name(repo: Repo) -> None:
    mine = ["refs/heads/feature/a-r1", "refs/branchline/r1/base/a"]
    others = ["refs/heads/feature/b-r1", "refs/heads/feature/a-r11", "refs/branchline/r11/x", "refs/heads/r1"]
    for name in mine + others:
        (repo.common_dir / f"{name}.lock").parent.mkdir(parents=True, exist_ok=True)
        (repo.common_dir / f"{name}.lock").touch()
    found = [lock.ref for lock in locks(repo.common_dir) if is_of_run(lock, "r1", {mine[0]})]
    assert sorted(found) == sorted(mine)


def test_one_that_a_process_holds_open_has_an_owner(repo: Repo) -> None:
    path = repo.common_dir / "config.lock"
    script = "import sys, time; f = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        os.utime(path, (0, 0))
        (lock,) = locks(repo.common_dir)
        assert str(holder.pid) in owner_of_shared(lock, [repo.root], now=time.time())
        assert str(holder.pid) in owner(lock, [repo.root])
        holder.kill()
    assert owner_of_shared(lock, [repo.root], now=time.time()) == ""
    assert owner(lock, [repo.root]) == ""


def test_a_shared_one_must_be_old(repo: Repo) -> None:
    (repo.common_dir / "packed-refs.lock").touch()
    (lock,) = locks(repo.common_dir)
    assert owner_of_shared(lock, [repo.root], now=time.time() + OLD_SECONDS - 60) != ""
    assert owner_of_shared(lock, [repo.root], now=time.time() + OLD_SECONDS + 60) == ""
    lock.path.unlink()
    assert owner_of_shared(lock, [repo.root], now=time.time()) == ""


def test_a_git_that_waits_for_its_editor_owns_its_lock(
    box: Sandbox, repo: Repo, worktrees: Worktrees, tmp_path: Path
) -> None:
    path = worktrees.add(box.root / ".runs" / "r" / "worktrees" / "a", repo.head_commit(), "feature/a")
    (path / "a.txt").write_text("changed")
    started = tmp_path / "started"
    environ = {**os.environ, "GIT_EDITOR": f"touch {started}; sleep 60; false", "GIT_CONFIG_GLOBAL": os.devnull}
    environ |= {"GIT_AUTHOR_NAME": "u", "GIT_AUTHOR_EMAIL": "u", "GIT_COMMITTER_NAME": "u", "GIT_COMMITTER_EMAIL": "u"}
    with subprocess.Popen(["git", "commit", "-qa"], cwd=path, env=environ, start_new_session=True) as commit:
        while not started.exists():
            time.sleep(0.01)
        (lock,) = locks_of_worktree(repo.common_dir / "worktrees" / "a")
        assert lock.name == "worktrees/a/index.lock"
        assert str(commit.pid) in owner(lock, [path])
        os.killpg(commit.pid, 9)
    assert owner(lock, [path]) == ""
