"""Who changed the git directory, and what is put back."""

import threading
import time
from pathlib import Path

import pytest

from branchline.attempt.guarding import Guard, Watched, tampering, trusted, watched
from branchline.core.result import Failure
from branchline.git.repo import Repo
from branchline.ledger.paths import RunPaths
from support import Project
from unit.attempt.conftest import Make


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


@pytest.fixture
def guard(project: Project) -> Guard:
    return Guard(repo=Repo.open(project.root), paths=RunPaths(project.root, "R1"), target="main", armed=True)


def evil(project: Project) -> Path:
    hook = project.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    return hook


def test_whoever_works_alone_has_done_it(project: Project, guard: Guard) -> None:
    with guard.watching("a") as seen:
        hook = evil(project)
    assert not hook.exists()
    assert (seen.certain, seen.put_back) == (True, ["hooks/pre-commit in the git directory"])
    assert seen.before == seen.after or seen.after
    failure = tampering(seen)
    assert failure == Failure(
        "it changed what is not its own: hooks/pre-commit in the git directory; put back", "tampering", retryable=False
    )
    assert (guard.paths.kept / "git-1" / "hooks" / "pre-commit").exists()


def test_of_several_each_works_again_alone(project: Project, guard: Guard) -> None:
    with guard.watching("a") as first, guard.watching("b") as second:
        evil(project)
    for seen in (first, second):
        assert not seen.certain
        failure = tampering(seen)
        assert failure is not None
        assert failure.retryable
        assert "it is to work again, alone" in failure.reason
    order: list[str] = []

    def again(name: str, change: bool) -> None:
        with guard.watching(name) as seen:
            order.append(f"{name} in")
            time.sleep(0.05)
            if change:
                evil(project)
            order.append(f"{name} out")
        assert seen.certain is change

    threads = [threading.Thread(target=again, args=args) for args in (("a", False), ("b", True), ("c", False))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "ab":
        assert order.index(f"{name} out") == order.index(f"{name} in") + 1, order
    with guard.watching("a"), guard.watching("b"):
        pass  # a is no suspect any more; b was certain


def test_a_suspect_waits_until_the_others_have_ended(project: Project, guard: Guard) -> None:
    with guard.watching("a"), guard.watching("b"):
        evil(project)
    began = threading.Event()

    def again() -> None:
        with guard.watching("a"):
            began.set()

    with guard.watching("c"):
        thread = threading.Thread(target=again)
        thread.start()
        assert not began.wait(0.3)
    thread.join()
    assert began.is_set()


def test_one_who_waits_ends_when_told_to(guard: Guard, project: Project) -> None:
    with guard.watching("a"), guard.watching("b"):
        evil(project)
    with guard.watching("c"), guard.watching("a", ended=lambda: True):
        pass


def test_a_change_before_somebody_begins_is_not_theirs(project: Project, guard: Guard) -> None:
    with guard.watching("a") as first:
        evil(project)
        with guard.watching("b") as second:
            pass
    assert (first.certain, second.put_back) == (True, [])


def test_what_changes_while_nobody_works_is_the_users(project: Project, guard: Guard) -> None:
    with guard.watching("a"):
        pass
    hook = evil(project)
    with guard.watching("a") as seen:
        pass
    assert hook.exists()
    assert tampering(seen) is None


def test_set_up_may_change_it(project: Project, guard: Guard) -> None:
    with guard.watching("a") as seen, guard.trusting():
        hook = evil(project)
    assert hook.exists()
    assert seen.put_back == []


def test_in_a_sandbox_nobody_is_suspected(project: Project, guard: Guard) -> None:
    guard.armed = False
    with guard.watching("a") as seen:
        hook = evil(project)
    assert hook.exists()
    assert tampering(seen) is None
    assert seen.before != seen.after


def test_refs_of_the_user_may_move_and_their_tips_are_kept(project: Project, guard: Guard) -> None:
    project.git("branch", "side")
    project.git("branch", "gone")
    old = project.git("rev-parse", "HEAD")
    with guard.watching("a") as seen:
        new = project.commit("the user's own", {"u.txt": "u\n"})
        project.git("update-ref", "-d", "refs/heads/gone")
    assert tampering(seen) is None
    assert seen.changes == [f"refs/heads/gone: {old} -> nothing", f"refs/heads/main: {old} -> {new}"]
    assert project.git("rev-parse", "main") == new
    assert project.git("rev-parse", "refs/branchline/R1/moved/heads/gone") == old


def test_the_users_branch_moves_only_with_the_users_checkout(project: Project, guard: Guard) -> None:
    old = project.git("rev-parse", "HEAD")
    other = project.git("commit-tree", "-p", old, "-m", "evil", project.tree("HEAD"))
    linked = project.root.parent / "linked"
    project.git("worktree", "add", "-q", "--detach", str(linked))
    with guard.watching("a") as seen:
        project.git("-C", str(linked), "update-ref", "refs/heads/main", other)
    assert seen.put_back == ["refs/heads/main moved past its checkout"]
    assert project.git("rev-parse", "main") == old
    with guard.watching("a") as seen:
        project.git("update-ref", "-d", "refs/heads/main")
    assert seen.put_back == ["refs/heads/main deleted"]
    assert project.git("rev-parse", "main") == old


def test_refs_of_the_run_are_made_again_and_replacements_go(project: Project, guard: Guard) -> None:
    old = project.git("rev-parse", "HEAD")
    project.git("update-ref", "refs/branchline/R1/attempts/x", old)
    with guard.watching("a") as seen:
        project.git("update-ref", "-d", "refs/branchline/R1/attempts/x")
        project.git("update-ref", "refs/branchline/R1/attempts/y", old)
        project.git("update-ref", f"refs/replace/{old}", project.git("rev-parse", "HEAD^{tree}"))
    assert seen.put_back == [f"refs/replace/{old} made", "1 refs of the run deleted"]
    refs = project.git("for-each-ref", "--format=%(refname)").splitlines()
    assert refs == ["refs/branchline/R1/attempts/x", "refs/branchline/R1/attempts/y", "refs/heads/main"]


def test_a_ruined_git_directory_is_mended(project: Project, guard: Guard) -> None:
    git_dir = project.root / ".git"
    with guard.watching("a") as seen:
        (git_dir / "HEAD").write_text("nonsense")
        (git_dir / "config").write_text("[nonsense")
        (git_dir / "refs" / "heads" / "main").write_text("nonsense")
    assert seen.certain
    assert project.git("status", "--porcelain", "--", "src") == ""


def test_a_run_without_a_guard(make: Make) -> None:
    run = make({"a": "a"}).run
    assert run.guard is None
    with watched(run, "a") as seen, trusted(run):
        pass
    assert isinstance(seen, Watched)
    assert tampering(seen) is None
