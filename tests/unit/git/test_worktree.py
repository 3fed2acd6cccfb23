"""Worktrees: made, healed, reset, removed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.repo import RefMoved, Repo
from branchline.git.worktree import Head, Worktrees
from branchline.process.sweep import sweep
from unit.git.sandbox import Sandbox


@pytest.fixture
def runs(box: Sandbox) -> Path:
    """The folder of the run's worktrees."""
    return box.root / ".runs" / "r" / "worktrees"


def test_add_checks_out_a_new_branch(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    head = repo.head_commit()
    path = worktrees.add(runs / "a-1", head, "feature/a-1")
    assert (path / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert (path / "link").readlink() == Path("a.txt")
    assert worktrees.head(path) == Head("refs/heads/feature/a-1", head)
    assert box.git("status", "--porcelain", cwd=path) == ""
    assert "locked" in box.git("worktree", "list", "--porcelain")
    assert box.git("config", "--list", "--local") == box.git("config", "--list", "--local", cwd=path)


def test_add_detached(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    old = repo.head_commit()
    box.commit({"a.txt": "new\n"})
    path = worktrees.add(runs / "a-1", old, None)
    assert worktrees.head(path) == Head(None, old)
    worktrees.reset(path, repo.head_commit())
    assert worktrees.head(path) == Head(None, repo.head_commit())
    assert (path / "a.txt").read_text() == "new\n"


def test_a_complete_worktree_is_left_as_it_is(repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    path = worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1")
    (path / "work").write_text("precious")
    assert worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1") == path
    assert (path / "work").read_text() == "precious"


def test_a_branch_that_exists_elsewhere_is_not_touched(
    box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path
) -> None:
    old = repo.head_commit()
    repo.move_ref("refs/heads/feature/a-1", old, None)
    with pytest.raises(RefMoved):
        worktrees.add(runs / "a-1", box.commit({"a.txt": "x"}), "feature/a-1")
    assert repo.read_ref("refs/heads/feature/a-1") == old
    assert worktrees.add(runs / "a-1", old, "feature/a-1").is_dir()


def test_what_is_not_ours_is_not_replaced(repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    (runs / "a-1").mkdir(parents=True)
    (runs / "a-1" / "mine").write_text("precious")
    with pytest.raises(GitError, match="in the way"):
        worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1")
    with pytest.raises(GitError, match="not removed"):
        worktrees.remove(runs / "a-1")
    assert (runs / "a-1" / "mine").read_text() == "precious"


def test_twenty_threads_add_and_remove_at_once(repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    head = repo.head_commit()

    def use(number: int) -> str:
        path = worktrees.add(runs / f"w-{number}", head, f"feature/w-{number}")
        text = (path / "a.txt").read_text()
        worktrees.remove(path)
        return text

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(use, range(40))) == {"one\ntwo\nthree\n"}
    assert list((repo.common_dir / "worktrees").glob("*")) == []
    assert list(runs.iterdir()) == []


def test_remove_is_repeatable_and_keeps_the_branch(repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    path = worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1")
    worktrees.remove(path)
    worktrees.remove(path)
    assert not path.exists()
    assert repo.read_ref("refs/heads/feature/a-1") == repo.head_commit()
    assert worktrees.add(path, repo.head_commit(), "feature/a-1").is_dir()


def test_remove_does_not_follow_links(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    outside = box.scratch / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    path = worktrees.add(runs / "a-1", repo.head_commit(), None)
    (path / "out").symlink_to(outside)
    worktrees.remove(path)
    path = worktrees.add(runs / "a-2", repo.head_commit(), None)
    path.rename(runs / "moved")
    path.symlink_to(outside)
    worktrees.remove(path)
    assert not path.is_symlink()
    assert (outside / "kept").read_text() == "kept"


def poison_commondir(admin: Path) -> None:
    (admin / "commondir").write_text("")


def poison_gitdir(admin: Path) -> None:
    (admin / "gitdir").write_text("")


def poison_everything(admin: Path) -> None:
    for file in admin.iterdir():
        file.unlink() if file.is_file() else None


def poison_head(admin: Path) -> None:
    (admin / "HEAD").write_text("")
    (admin / "index.lock").touch()


POISONS = [poison_commondir, poison_gitdir, poison_everything, poison_head]


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_a_half_made_worktree_is_made_again(
    repo: Repo, worktrees: Worktrees, runs: Path, poison: object, box: Sandbox
) -> None:
    path = worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1")
    admin = repo.common_dir / "worktrees" / "a-1"
    (admin / "branchline").unlink()
    assert callable(poison)
    poison(admin)
    (path / "a.txt").write_text("half")
    again = Worktrees(Repo.open(box.root), box.scratch / "lock")
    assert (again.add(path, repo.head_commit(), "feature/a-1") / "a.txt").read_text() == "one\ntwo\nthree\n"
    assert box.git("status", "--porcelain", cwd=path) == ""
    assert [one.name for one in (repo.common_dir / "worktrees").iterdir()] == ["a-1"]


def test_an_agent_cannot_redirect_us(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    path = worktrees.add(runs / "a-1", repo.head_commit(), "feature/a-1")
    right = (path / ".git").read_bytes()
    for attack in ("file", "folder", "link", "gone"):
        (path / ".git").unlink()
        if attack == "file":
            (path / ".git").write_text(f"gitdir: {box.scratch}\n")
        elif attack == "folder":
            box.git("init", "-q", str(path))
        elif attack == "link":
            (path / ".git").symlink_to(box.root / ".git")
        assert worktrees.head(path).commit == repo.head_commit()
        assert worktrees.git_for(path).text("ls-files", "--", "a.txt") == "a.txt"
        worktrees.repair_pointer(path)
        assert not (path / ".git").is_symlink()
        assert (path / ".git").read_bytes() == right


def test_reset_undoes_whatever_an_agent_did(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    head = repo.head_commit()
    path = worktrees.add(runs / "a-1", head, "feature/a-1")
    box.git("config", "core.excludesFile", "/dev/null")
    box.git("update-index", "--assume-unchanged", "a.txt", cwd=path)
    box.write({"a.txt": "hidden edit", "new/file": "x", 'n\n"ew\udcff': "x", ".gitignore": "*\n"}, at=path)
    (path / "src" / "b.py").unlink()
    (path / "src").rmdir()
    (path / "src").symlink_to(box.scratch)
    box.git("init", "-q", str(path / "nested"))
    box.git("commit", "-q", "--allow-empty", "-m", "agent", cwd=path)
    box.git("checkout", "-q", "--detach", cwd=path)
    (repo.common_dir / "worktrees" / "a-1" / "index.lock").touch()
    worktrees.reset(path, head)
    assert worktrees.head(path) == Head("refs/heads/feature/a-1", head)
    assert sorted(one.name for one in path.iterdir()) == [".git", "a.txt", "link", "src"]
    assert box.git("status", "--porcelain", "--ignored", cwd=path) == ""
    assert list(box.scratch.glob("b.py")) == []


def test_reset_keeps_ignored_files_and_those_named(box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    head = box.commit({".gitignore": "cache/\n"})
    path = worktrees.add(runs / "a-1", head, "feature/a-1")
    odd = "set[up]\\ *.txt "
    box.write({"cache/x": "x", "env/deep/y": "y", odd: "z", "junk": "j", "sub/env/deep/y": "y"}, at=path)
    worktrees.reset(path, head, keep=["env/deep", odd])
    kept = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    assert kept == sorted([".git", ".gitignore", "a.txt", "cache/x", "env/deep/y", "link", odd, "src/b.py"])


def test_reset_to_a_tree_leaves_the_branch_where_it_is_told(
    box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path
) -> None:
    head = repo.head_commit()
    path = worktrees.add(runs / "a-1", head, "feature/a-1")
    tree = repo.edit_tree(head, {"a.txt": None, "z": ("100644", repo.write_blob(b"z"))})
    box.git("commit", "-q", "--allow-empty", "-m", "agent", cwd=path)
    worktrees.reset(path, tree, head=head)
    assert worktrees.head(path).commit == head
    assert sorted(one.name for one in path.iterdir()) == [".git", "link", "src", "z"]
    next_commit = repo.commit(tree, [head], "next", 0)
    repo.move_ref("refs/heads/feature/a-1", next_commit, head)
    worktrees.reset(path, tree)
    assert worktrees.head(path).commit == next_commit
    assert box.git("status", "--porcelain", cwd=path) == ""


def test_reset_does_not_rewrite_files_that_are_right(repo: Repo, worktrees: Worktrees, runs: Path) -> None:
    path = worktrees.add(runs / "a-1", repo.head_commit(), None)
    os.utime(path / "a.txt", (1_000_000, 1_000_000))
    worktrees.reset(path, repo.head_commit())
    assert (path / "a.txt").stat().st_mtime == 1_000_000


def test_the_reflog_remembers_commits_that_were_dropped(
    box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path
) -> None:
    head = repo.head_commit()
    path = worktrees.add(runs / "a-1", head, "feature/a-1")
    box.git("commit", "-q", "--allow-empty", "-m", "dropped", cwd=path)
    dropped = worktrees.head(path).commit
    box.git("reset", "-q", "--hard", head, cwd=path)
    assert worktrees.reflog(path) == [head, dropped]


ADDER = """
import sys
from pathlib import Path
from branchline.git.repo import Repo
from branchline.git.worktree import Worktrees
root, lock, runs = map(Path, sys.argv[1:])
repo = Repo.open(root, marker="kill-test")
worktrees = Worktrees(repo, lock)
print("ready", flush=True)
for number in range(1000):
    worktrees.add(runs / f"k-{number}", repo.head_commit(), f"feature/k-{number}")
    print(number, flush=True)
"""


@pytest.mark.parametrize("delay", [0.005, 0.02, 0.033, 0.05])
def test_a_killed_add_is_healed_by_adding_again(
    box: Sandbox, repo: Repo, worktrees: Worktrees, runs: Path, delay: float
) -> None:
    argv = [sys.executable, "-c", ADDER, str(box.root), str(box.scratch / "lock"), str(runs)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as adder:
        assert adder.stdout is not None
        adder.stdout.readline()
        time.sleep(delay)
        os.kill(adder.pid, signal.SIGKILL)
        finished = len(adder.stdout.readlines())
    sweep("kill-test")
    for number in range(finished + 1):
        path = worktrees.add(runs / f"k-{number}", repo.head_commit(), f"feature/k-{number}")
        assert box.git("status", "--porcelain", cwd=path) == ""
    assert box.git("worktree", "list").count("\n") >= finished + 2


@pytest.mark.parametrize("alone", [True, False], ids=["git alone", "its coordinator too"])
def test_what_a_git_killed_in_its_first_moments_left_goes_with_the_next_change(
    box: Sandbox, worktrees: Worktrees, runs: Path, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    folder, mine = box.root / ".git" / "worktrees", box.scratch / "bin" / "git"
    (folder / "theirs").mkdir(parents=True)  # a stranger's git, just as far
    dies = "kill -9 $$" if alone else "kill -9 $PPID $$"
    mine.parent.mkdir()
    mine.write_text(
        f"#!/bin/sh\n[ -e {folder}/a-1 ] || case $* in *worktree*add*)\n"
        f'mkdir {folder}/a-1; : > {folder}/a-1/locked; {dies};; esac\nexec {shutil.which("git")} "$@"\n'
    )
    mine.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from branchline.git.repo import Repo\n"
        "from branchline.git.worktree import Worktrees\nrepo = Repo.open(Path(sys.argv[1]))\n"
        "Worktrees(repo, Path(sys.argv[2])).add(Path(sys.argv[3]), repo.head_commit(), 'feature/a-1')\n"
    )
    env = {**os.environ, "PATH": f"{mine.parent}{os.pathsep}{os.environ['PATH']}"}
    argv = [sys.executable, "-c", code, str(box.root), str(box.scratch / "lock"), str(runs / "a-1")]
    assert subprocess.run(argv, env=env, check=False).returncode == (1 if alone else -signal.SIGKILL)
    assert sorted(one.name for one in folder.iterdir()) == (["theirs"] if alone else ["a-1", "theirs"])
    worktrees.remove(runs / "nothing")
    assert [one.name for one in folder.iterdir()] == ["theirs"]
