"""What git keeps of a worktree, read and written."""

from pathlib import Path

import pytest

from branchline.git.registration import Registration, registrations
from branchline.git.repo import Repo
from branchline.git.worktree import Worktrees
from unit.git.sandbox import Sandbox


@pytest.fixture
def path(repo: Repo, worktrees: Worktrees, box: Sandbox) -> Path:
    """A worktree on the branch feature/a."""
    return worktrees.add(box.root / ".runs" / "r" / "worktrees" / "a", repo.head_commit(), "feature/a")


@pytest.fixture
def found(repo: Repo, path: Path) -> Registration:
    """Its registration."""
    return registrations(repo.common_dir)[0]


def test_three_files_say_whose_it_is(found: Registration, path: Path) -> None:
    assert (found.place, found.note, found.kept) == (path, path, path)
    assert (found.made, found.on) == (True, "refs/heads/feature/a")
    assert found.names(path)
    assert found.lives_at(path)
    assert found.damage() == []


def test_one_of_the_three_is_enough_and_a_name_alone_is_not(found: Registration, path: Path) -> None:
    (found.admin / "gitdir").write_text("")
    (found.admin / "locked").unlink()
    assert found.names(path)
    (found.admin / "branchline").unlink()
    assert found.names(path), "the folder leads to it, and nothing speaks against it"
    (path / ".git").write_text("gitdir: elsewhere\n")
    assert not found.names(path)


def test_gits_word_counts_more_than_ours(found: Registration, path: Path) -> None:
    (found.admin / "gitdir").write_text("/elsewhere/.git\n")
    assert not found.names(path)
    assert found.names(Path("/elsewhere"))
    assert not found.lives_at(Path("/elsewhere"))


def test_a_path_may_hold_a_newline(repo: Repo, worktrees: Worktrees, box: Sandbox) -> None:
    path = worktrees.add(box.root / ".runs" / "r" / "worktrees" / "new\nline\n", repo.head_commit(), None)
    found = registrations(repo.common_dir)[0]
    assert (found.place, found.kept) == (path, path)
    assert found.on == repo.head_commit()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("HEAD", ""),
        ("HEAD", "rubbish\n"),
        ("commondir", ""),
        ("commondir", "/elsewhere\n"),
        ("gitdir", ""),
        ("gitdir", "rubbish\n"),
    ],
)
def test_what_git_needs_is_seen_and_written_again(
    box: Sandbox, found: Registration, path: Path, name: str, content: str
) -> None:
    (found.admin / name).write_text(content)
    assert found.damage() == [name]
    found.write(path, "refs/heads/feature/a", head=name == "HEAD")
    assert found.damage() == []
    assert box.git("status", "--porcelain", "--branch", cwd=path) == "## feature/a\n"


def test_a_folder_or_a_link_in_a_files_place_is_replaced(box: Sandbox, found: Registration, path: Path) -> None:
    (found.admin / "HEAD").unlink()
    (found.admin / "HEAD").mkdir()
    (found.admin / "commondir").unlink()
    (found.admin / "commondir").symlink_to(box.scratch / "precious")
    (box.scratch / "precious").write_text("kept")
    assert found.damage() == ["HEAD", "commondir"]
    found.write(path, "refs/heads/feature/a", head=True)
    assert box.git("status", "--porcelain", cwd=path) == ""
    assert (box.scratch / "precious").read_text() == "kept"
