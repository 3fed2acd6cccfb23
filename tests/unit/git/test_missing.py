"""Objects that are not here are fetched before a run, or named together with what helps; never met halfway."""

import shutil
import subprocess
from pathlib import Path

import pytest

from branchline.errors import GitError, InvalidInput
from branchline.git.command import ObjectsGone
from branchline.git.commit import snapshot
from branchline.git.repo import Repo
from branchline.git.storage import fetch, missing, problems
from unit.git.sandbox import Sandbox
from unit.git.users import changes, check_out, take


@pytest.fixture
def origin(box: Sandbox) -> Path:
    """A repository that hands out single objects, with a branch `side`."""
    box.commit({"src/b.py": "b = 2\n", "docs/deep/er/x.md": "x\n"})
    box.git("branch", "side", box.branch_with({"only-on-side": "s\n"}))
    box.git("config", "uploadpack.allowFilter", "true")
    box.git("config", "uploadpack.allowAnySHA1InWant", "true")
    return box.root


@pytest.mark.parametrize(
    "how", [["--filter=blob:none"], ["--filter=tree:0"], ["--filter=blob:limit=2"], ["--filter=blob:none", "--sparse"]]
)
def test_a_partial_clone_gets_what_a_run_needs(how: list[str], box: Sandbox, origin: Path) -> None:
    clone = box.scratch / "clone"
    box.git("clone", "-q", *how, f"file://{origin}", str(clone))
    repo = Repo.open(clone)
    side = repo.resolve("origin/side")
    assert side
    assert missing(repo, [side])
    before = box.git("show-ref", cwd=clone)
    fetch(repo, [side, repo.head_commit()])
    assert missing(repo, [side, repo.head_commit()]) == []
    assert box.git("show-ref", cwd=clone) == before
    fetch(repo, [side])
    check_out(repo, box.scratch / "w", side)
    assert (box.scratch / "w" / "only-on-side").exists() or repo.user.sparse


def test_a_snapshot_in_a_partial_clone_needs_only_what_changed(box: Sandbox, origin: Path) -> None:
    clone = box.scratch / "clone"
    box.git("clone", "-q", "--filter=blob:none", "--sparse", f"file://{origin}", str(clone))
    repo = Repo.open(clone)
    git = check_out(repo, box.scratch / "w")
    (box.scratch / "w" / "a.txt").write_text("changed\n")
    assert changes(repo, take(repo, git, box)) == {"a.txt": "M"}
    assert missing(repo, [repo.head_commit()])


def test_a_promisor_that_is_gone_is_named(box: Sandbox, origin: Path) -> None:
    clone = box.scratch / "clone"
    box.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{origin}", str(clone))
    origin.rename(box.scratch / "moved")
    repo = Repo.open(clone)
    fetch(repo, [repo.head_commit()])
    (found,) = problems(repo, repo.head_commit(), "main", "branch")
    assert "partial clone" in found.text
    assert found.command == f"git -C {clone} fetch origin"
    assert issubclass(ObjectsGone, InvalidInput), "such a failure is not tried again"


def lose(clone: Path, repo: Repo, path: str) -> None:
    oid = next(one.oid for one in repo.entries(repo.head_commit()) if one.path == path)
    (clone / ".git" / "objects" / oid[:2] / oid[2:]).unlink()


def test_a_lost_object_is_named_with_the_command_that_shows_more(box: Sandbox, repo: Repo) -> None:
    lose(box.root, repo, "a.txt")
    assert len(missing(repo, [repo.head_commit()])) == 1
    (found,) = problems(repo, repo.head_commit(), "main", "branch")
    assert "missing" in found.text
    assert found.command == f"git -C {box.root} fsck --connectivity-only"
    with pytest.raises(ObjectsGone):
        check_out(repo, box.scratch / "w")


def test_a_lender_that_is_gone_is_named(box: Sandbox, tmp_path: Path) -> None:
    clone, lender = box.scratch / "clone", box.scratch / "a lender"
    box.git("clone", "-q", "--bare", str(box.root), str(lender))
    box.git("clone", "-q", "--shared", str(lender), str(clone))
    Repo.open(clone)
    lender.rename(tmp_path / "elsewhere")
    with pytest.raises(ObjectsGone, match="a lender") as caught:
        Repo.open(clone)
    assert str(clone / ".git" / "objects" / "info" / "alternates") in caught.value.hint


def test_a_lender_that_collects_its_garbage_is_named(box: Sandbox) -> None:
    clone = box.scratch / "clone"
    old = box.git("rev-parse", "HEAD").strip()
    box.commit({"a.txt": "gone soon\n"})
    box.git("clone", "-q", "--shared", str(box.root), str(clone))
    repo = Repo.open(clone)
    base = repo.head_commit()
    box.git("reset", "-q", "--hard", old)
    box.git("reflog", "expire", "--expire=now", "--all")
    box.git("gc", "-q", "--prune=now")
    (found,) = problems(repo, base, "main", "branch")
    assert str(box.root) in found.text
    with pytest.raises(GitError):
        snapshot(repo.content, clone, repo.tree_of(base), scratch=box.scratch)
    with pytest.raises(ObjectsGone):
        Repo.open(clone)


def test_a_sha256_repository_is_whole(box: Sandbox) -> None:
    root = box.scratch / "sha256"
    box.git("init", "-q", "--object-format=sha256", "-b", "main", str(root))
    (root / "a").write_text("a")
    box.git("add", "a", cwd=root)
    box.git("commit", "-qm", "first", cwd=root)
    repo = Repo.open(root)
    assert missing(repo, [repo.head_commit()]) == []
    git = check_out(repo, box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {}
    (box.scratch / "w" / "a").write_text("b")
    assert changes(repo, take(repo, git, box)) == {"a": "M"}


def test_a_format_that_this_git_does_not_know_is_said(box: Sandbox) -> None:
    box.git("config", "core.repositoryFormatVersion", "1")
    box.git("config", "extensions.fromTheFuture", "true")
    with pytest.raises(InvalidInput, match=r"(?i)fromthefuture"):
        Repo.open(box.root)


def test_alternates_are_followed_like_git_does(box: Sandbox) -> None:
    depths = [box.scratch / f"r{number}" for number in range(4)]
    source = box.root
    for folder in depths:
        box.git("clone", "-q", "--shared", str(source), str(folder))
        source = folder
    shutil.rmtree(box.root / ".git" / "objects" / "info", ignore_errors=True)
    done = subprocess.run(["git", "fsck"], cwd=depths[-1], capture_output=True, check=False)
    assert done.returncode == 0
    repo = Repo.open(depths[-1])
    assert missing(repo, [repo.head_commit()]) == []
