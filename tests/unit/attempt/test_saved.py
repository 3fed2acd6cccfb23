"""What an agent committed is kept: as objects if it may be, else as a bundle, else as the files of its git."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from branchline.attempt.run import Run
from branchline.attempt.saved import keep_commits, remove_workspace, save_workspace
from branchline.attempt.secret_scan import screening
from branchline.config.settings import Settings
from unit.attempt.conftest import Make

SECRET = "correct-horse-9"
BASE = {"src/x.py": "x = 1\n", ".gitignore": "cache/\n"}


@pytest.fixture
def run(make: Make) -> Run:
    """A run with the workspace `a`, which looks for one secret."""
    found = make(BASE).run
    found = replace(found, inspect=screening(Settings(version=1), {"MY_PASSWORD": SECRET}))
    found.paths.make(found.paths.scratch)
    found.workspaces.add(found.workspace("a"), found.base, found.branch("a"))
    return found


def git(run: Run, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=run.workspace("a"), capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(run: Run, text: str, name: str = "src/x.py") -> str:
    (run.workspace("a") / name).write_text(text)
    git(run, "add", "-f", name)
    git(run, "commit", "-q", "-m", "mine")
    return git(run, "rev-parse", "HEAD")


def holds(run: Run, text: str) -> bool:
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    return text.encode() in subprocess.run(command, cwd=run.repo.root, capture_output=True, check=True).stdout


def test_commits_become_parents_of_what_is_saved(run: Run) -> None:
    gone = commit(run, "x = 2\n")
    git(run, "reset", "-q", "--hard", "HEAD~1")
    last = commit(run, "x = 3\n")
    (run.workspace("a") / "cache").mkdir()
    (run.workspace("a") / "cache" / "ignored").write_text("i")
    saved = save_workspace(run, "a")
    assert run.repo.parents(saved.commit) == (run.base, *sorted([gone, last]))
    assert {one.path for one in run.repo.entries(saved.commit)} == {*BASE, "cache/ignored"}
    assert saved.refused == ()
    assert save_workspace(run, "a").ref == saved.ref


def test_commits_with_a_secret_are_kept_as_a_bundle(run: Run) -> None:
    commit(run, f"p = '{SECRET}'\n")
    last = commit(run, "x = 3\n")
    kept = keep_commits(run, "a", run.base)
    assert kept.tips == ()
    assert kept.problem.startswith(
        "its own commits hold a secret: value of a secret variable; they are kept in kept/a/"
    )
    assert not holds(run, SECRET)
    bundle = run.paths.run_dir / kept.problem.rpartition(" ")[2]
    listed = subprocess.run(["git", "bundle", "list-heads", bundle], cwd=run.repo.root, capture_output=True, check=True)
    assert listed.stdout.decode() == f"{last} refs/heads/commit-1\n"
    subprocess.run(["git", "bundle", "verify", "-q", bundle], cwd=run.repo.root, capture_output=True, check=True)
    assert bundle.parent.parent.stat().st_mode & 0o77 == 0
    saved = save_workspace(run, "a")
    assert [str(one) for one in saved.refused] == [f"'.git': {kept.problem}"]
    assert len(list(bundle.parent.iterdir())) == 1
    assert not holds(run, SECRET)


@pytest.mark.parametrize("where", ["message", "name of a file"])
def test_a_secret_is_found_wherever_it_stands(run: Run, where: str) -> None:
    if where == "message":
        git(run, "commit", "-q", "--allow-empty", "-m", f"use {SECRET}")
    else:
        commit(run, "x", f"src/{SECRET}")
    assert "secret" in keep_commits(run, "a", run.base).problem
    assert not holds(run, SECRET)


def test_a_secret_that_the_base_has_is_no_reason(run: Run, make: Make) -> None:
    base = run.repo.commit(
        run.repo.edit_tree(run.base, {"known": ("100644", run.repo.write_blob(f"p = '{SECRET}'\n".encode()))}),
        [run.base], "base", 0,
    )  # fmt: skip
    run.workspaces.reset(run.workspace("a"), base, head=base, branch=run.branch("a"))
    made = commit(run, f"y = 1\np = '{SECRET}'\n", "known")
    assert keep_commits(run, "a", base).tips == (made,)


def test_commits_that_cannot_be_read_are_kept_as_files(run: Run) -> None:
    made = commit(run, "x = 2\n")
    git_dir = run.workspace("a") / ".git"
    (git_dir / "objects" / made[:2] / made[2:]).unlink()
    (git_dir / "hooks" / "post-checkout").write_text("#!/bin/sh\n")
    assert f"{made} is missing" in keep_commits(run, "a", run.base).problem
    assert f"{made} is missing" in str(save_workspace(run, "a", clear=False).refused[0])
    assert git_dir.exists()
    fact = remove_workspace(run, "a")
    assert fact is not None
    assert fact.removed
    assert fact.left_out[0].endswith("; its .git is kept in kept/a/1/git")
    kept = run.paths.kept / "a" / "1" / "git"
    assert made in (kept / "logs" / "HEAD").read_text()
    assert sorted(one.name for one in kept.iterdir() if one.name in {"config", "hooks", "info"}) == []
    saved = run.repo.read_ref(run.refs.saved("a"))
    assert saved is not None
    assert run.repo.read_blob(run.repo.content.text("rev-parse", f"{saved}:src/x.py")) == b"x = 2\n"


@pytest.mark.parametrize("kind", ["gone", "file", "link", "nothing in it"])
def test_files_are_saved_whatever_became_of_git(run: Run, kind: str, tmp_path: Path) -> None:
    commit(run, "x = 2\n")
    path = run.workspace("a")
    moved = (path / ".git").rename(tmp_path / "moved")
    if kind == "file":
        (path / ".git").write_text(f"gitdir: {moved}\n")
    elif kind == "link":
        (path / ".git").symlink_to(moved)
    elif kind == "nothing in it":
        (path / ".git").mkdir()
    saved = save_workspace(run, "a")
    assert run.repo.parents(saved.commit) == (run.base,)
    assert {one.path for one in run.repo.changes(run.repo.tree_of(run.base), saved.commit)} == {"src/x.py"}
    assert saved.refused == ()


def test_what_stands_in_the_place_of_a_workspace_is_kept(run: Run) -> None:
    path = run.workspace("a")
    run.workspaces.remove(path)
    path.write_text("mine")
    assert remove_workspace(run, "a") is None
    assert (run.paths.kept / "a" / "1" / "a").read_text() == "mine"
    assert not path.exists()
