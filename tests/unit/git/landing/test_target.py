"""Where a branch is checked out, and what keeps it from being moved: asked of real repositories in each state."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.git.landing.checkout import CheckoutDirty
from branchline.git.landing.target import checked_out_at, move, obstacles
from branchline.git.repo import RefMoved, Repo
from unit.git.sandbox import Sandbox


def texts(path: Path, branch: str = "main") -> list[str]:
    return [one.text for one in obstacles(Repo.open(path), branch)]


@pytest.fixture
def side(box: Sandbox) -> Path:
    """A worktree on the branch side, which changes what main changes too."""
    box.commit({"a.txt": "of main\n"})
    place = box.scratch / "side"
    box.git("worktree", "add", "-q", "-b", "side", str(place), "main~1")
    (place / "a.txt").write_text("of side\n")
    box.git("commit", "-qam", "of side", cwd=place)
    return place


def fails(box: Sandbox, *args: str, cwd: Path) -> bool:
    """Run a git that stops in a conflict."""
    with pytest.raises(subprocess.CalledProcessError):
        box.git(*args, cwd=cwd)
    return True


def test_a_branch_that_nothing_holds(box: Sandbox, side: Path) -> None:
    assert (texts(box.root), texts(side), texts(box.root, "side"), texts(box.root, "none")) == ([], [], [], [])
    assert checked_out_at(Repo.open(box.root), "main") == checked_out_at(Repo.open(side), "main") == [box.root]
    assert checked_out_at(Repo.open(box.root), "side") == checked_out_at(Repo.open(side), "side") == [side]
    assert checked_out_at(Repo.open(box.root), "none") == []


HELD: dict[str, tuple[Callable[[Sandbox, Path], object], str]] = {
    "rebase": (
        lambda box, side: fails(box, "rebase", "main", cwd=side),
        "a rebase of side is in progress at {place}: git sets side itself when that ends",
    ),
    "rebase by patches": (
        lambda box, side: fails(box, "rebase", "--apply", "main", cwd=side),
        "a rebase of side is in progress at {place}: git sets side itself when that ends",
    ),
    "rebase of a branch above": (
        lambda box, side: (
            box.git("switch", "-q", "-c", "top", cwd=side),
            box.git("commit", "-q", "--allow-empty", "-m", "top", cwd=side),
            fails(box, "rebase", "--update-refs", "main", cwd=side),
        ),
        "a rebase of side is in progress at {place}: git sets side itself when that ends",
    ),
    "bisect": (
        lambda box, side: box.git("bisect", "start", "HEAD", "HEAD~1", cwd=side),
        "a bisect that began on side is in progress at {place}: git goes back to side when that ends",
    ),
    "merge": (
        lambda box, side: fails(box, "merge", "main", cwd=side),
        "git merge is in progress at {place}, which is on side",
    ),
    "cherry-pick": (
        lambda box, side: fails(box, "cherry-pick", "main", cwd=side),
        "git cherry-pick is in progress at {place}, which is on side",
    ),
    "cherry-pick, between two commits": (
        lambda box, side: (
            box.commit({"b.txt": "b\n"}),
            fails(box, "cherry-pick", "side..main", cwd=side),
            box.git("commit", "-qam", "picked", cwd=side),
        ),
        "git cherry-pick is in progress at {place}, which is on side",
    ),
    "revert": (
        lambda box, side: (
            box.git("commit", "-q", "--amend", "-m", "x", cwd=side),
            (side / "a.txt").write_text("later\n"),
            box.git("commit", "-qam", "later", cwd=side),
            fails(box, "revert", "HEAD~1", cwd=side),
        ),
        "git revert is in progress at {place}, which is on side",
    ),
    "mail": (
        lambda box, side: (
            box.git("format-patch", "-q", "-1", "main", "-o", str(box.scratch)),
            fails(box, "am", *map(str, box.scratch.glob("*.patch")), cwd=side),
        ),
        "git am is in progress at {place}, which is on side",
    ),
}


@pytest.mark.parametrize("what", HELD)
def test_a_branch_that_git_is_at_work_on(what: str, box: Sandbox, side: Path) -> None:
    begin, text = HELD[what]
    begin(box, side)
    found = obstacles(Repo.open(box.root), "side")
    assert [one.text for one in found] == [text.format(place=side)]
    assert found == obstacles(Repo.open(side), "side")
    assert obstacles(Repo.open(box.root), "main") == []
    end = found[0].command.partition("  #")[0].replace("--continue", "--abort").split()
    box.git(*end[1:])
    assert obstacles(Repo.open(box.root), "side") == []


def test_a_merge_elsewhere_is_in_nobodys_way(box: Sandbox, side: Path) -> None:
    fails(box, "merge", "main", cwd=side)
    assert texts(box.root, "main") == []


def test_a_branch_that_is_checked_out_twice(box: Sandbox) -> None:
    other = box.scratch / "a folder"
    box.git("worktree", "add", "-q", "--force", str(other), "main")
    (found,) = obstacles(Repo.open(box.root), "main")
    assert found.text == f"main is checked out at {box.root} and at {other}: only one of them could follow it"
    assert found.command == f"git -C '{other}' switch --detach"
    box.git("switch", "--detach", "-q", cwd=other)
    assert texts(box.root) == []
    assert checked_out_at(Repo.open(other), "main") == [box.root]


def test_a_worktree_that_was_deleted_by_hand_does_not_count(box: Sandbox, side: Path) -> None:
    fails(box, "rebase", "main", cwd=side)
    shutil.rmtree(side)
    assert texts(box.root, "side") == []
    assert checked_out_at(Repo.open(box.root), "side") == []


def test_a_worktree_on_a_disk_that_is_not_there_counts(box: Sandbox, side: Path) -> None:
    box.git("worktree", "lock", str(side))
    shutil.rmtree(side)
    (found,) = obstacles(Repo.open(box.root), "side")
    assert found.text == f"side is checked out at {side}, which is not there"
    for command in found.command.split(" && "):
        box.git(*command.split()[1:])
    assert texts(box.root, "side") == []


def test_a_worktree_that_was_moved_by_hand_counts_where_we_stand_in_it(box: Sandbox, side: Path) -> None:
    moved = box.scratch / "moved"
    side.rename(moved)
    assert checked_out_at(Repo.open(box.root), "side") == []
    assert checked_out_at(Repo.open(moved), "side") == [moved]


def test_a_registration_that_is_damaged_hides_no_other(box: Sandbox, side: Path) -> None:
    box.git("worktree", "add", "-q", "-b", "third", str(box.scratch / "third"))
    (box.root / ".git" / "worktrees" / "side" / "HEAD").unlink()
    (box.root / ".git" / "worktrees" / "side" / "commondir").unlink()
    assert checked_out_at(Repo.open(box.root), "third") == [box.scratch / "third"]


def test_a_git_directory_elsewhere(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "r", tmp_path)
    box.git("init", "-q", "-b", "main", f"--separate-git-dir={tmp_path}/gd", str(box.root), cwd=tmp_path)
    box.commit({"a.txt": "a\n"})
    box.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    assert checked_out_at(Repo.open(box.root), "main") == [box.root]
    assert texts(box.root) == []
    (found,) = obstacles(Repo.open(tmp_path / "side"), "main")
    assert found.text == f"main is checked out in a folder that git does not know: its git directory is {tmp_path}/gd"
    box.git(*found.command.replace("FOLDER", str(box.root)).split()[1:])
    assert texts(tmp_path / "side") == []
    assert checked_out_at(Repo.open(tmp_path / "side"), "main") == [box.root]


def test_a_submodule(box: Sandbox, tmp_path: Path) -> None:
    box.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(box.root), "sub")
    sub = box.root / "sub"
    box.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), cwd=sub)
    for place in (sub, tmp_path / "side"):
        assert checked_out_at(Repo.open(place), "main") == [sub]
        assert texts(place) == []


def test_a_bare_repository_with_worktrees(box: Sandbox, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    box.git("clone", "-q", "--bare", str(box.root), str(bare))
    box.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"), cwd=bare)
    repo = Repo.open(tmp_path / "side")
    assert (obstacles(repo, "main"), checked_out_at(repo, "main")) == ([], [])
    box.git("worktree", "add", "-q", str(tmp_path / "desk"), "main", cwd=bare)
    assert checked_out_at(repo, "main") == [tmp_path / "desk"]


def test_a_branch_that_only_stands_for_another(box: Sandbox) -> None:
    box.git("branch", "trunk")
    box.git("symbolic-ref", "refs/heads/alias", "refs/heads/trunk")
    (found,) = obstacles(Repo.open(box.root), "alias")
    assert found.text == "alias only stands for trunk (it is a symbolic ref)"
    assert found.command == "branchline run --base trunk"
    assert texts(box.root, "trunk") == []


@pytest.fixture
def ahead(box: Sandbox, repo: Repo) -> tuple[str, str]:
    """The commit of main, and a descendant."""
    return repo.head_commit(), box.branch_with({"new.txt": "n\n"})


def test_a_branch_moves_with_its_files_and_a_tag(box: Sandbox, repo: Repo, ahead: tuple[str, str]) -> None:
    move(repo, "main", *ahead, tag="refs/tags/v1")
    assert (box.root / "new.txt").read_text() == "n\n"
    assert box.git("rev-parse", "main", "v1").split() == [ahead[1]] * 2
    box.git("tag", "-d", "v1")
    move(repo, "main", *ahead, tag="refs/tags/v1")
    assert repo.read_ref("refs/tags/v1") == ahead[1]


def test_a_branch_without_a_checkout_moves_with_its_tag(box: Sandbox, repo: Repo, ahead: tuple[str, str]) -> None:
    box.git("switch", "-q", "--detach")
    move(repo, "main", *ahead, tag="refs/tags/v1")
    assert box.git("rev-parse", "main", "v1").split() == [ahead[1]] * 2
    assert not (box.root / "new.txt").exists()
    with pytest.raises(RefMoved):
        move(repo, "main", ahead[0], box.branch_with({"x": "x"}))


def test_what_git_holds_does_not_move_but_what_has_moved_is_finished(
    box: Sandbox, repo: Repo, ahead: tuple[str, str]
) -> None:
    box.git("bisect", "start", "main", cwd=box.root)
    with pytest.raises(CheckoutDirty, match="a bisect that began on main") as held:
        move(repo, "main", *ahead)
    assert held.value.hint == f"git -C {box.root} bisect reset"
    assert repo.read_ref("refs/heads/main") == ahead[0]
    box.git("update-ref", "refs/heads/main", ahead[1])
    move(repo, "main", *ahead)
