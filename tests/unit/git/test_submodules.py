"""Submodules of a workspace: filled without a network, and known for what they are."""

import os
import subprocess
from pathlib import Path

import pytest

from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces, is_untouched, known_submodules
from unit.git.sandbox import Sandbox
from unit.git.test_workspace import plain


@pytest.fixture
def path(box: Sandbox, repo: Repo, tmp_path: Path) -> Path:
    """A workspace of a repository with the submodule `lib/one`, whose own source is gone."""
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(box.root), str(source)], check=True)
    box.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "--name", "first", str(source), "lib/one")
    box.git("commit", "-q", "-m", "a submodule")
    source.rename(tmp_path / "gone")
    head = repo.head_commit()
    return Workspaces(repo, box.scratch / "home", base=head, target="main").add(
        box.scratch / "w" / "a", head, "feature/a"
    )


def untouched(repo: Repo, path: Path) -> bool:
    links = [entry.oid for entry in repo.entries(repo.tree_of(repo.head_commit())) if entry.path == "lib/one"]
    return is_untouched(repo.content, path / "lib/one", links[0])


def test_a_submodule_is_checked_out_as_the_commit_says(repo: Repo, path: Path) -> None:
    assert (path / "lib/one/a.txt").read_text() == "one\ntwo\nthree\n"
    assert plain(path, "status", "--porcelain") == ""
    assert os.fsdecode(plain(path, "submodule", "status")).split()[1] == "lib/one"
    assert not plain(path, "submodule", "status").startswith("-"), "git calls it not initialised"
    assert untouched(repo, path)


@pytest.mark.parametrize("name", ["a.txt", "new.txt"])
def test_one_with_another_file_is_not_untouched(repo: Repo, path: Path, name: str) -> None:
    (path / "lib/one" / name).write_text("changed\n")
    assert not untouched(repo, path)


def test_one_with_a_commit_more_is_not_untouched(repo: Repo, path: Path) -> None:
    who = ["-c", "user.name=u", "-c", "user.email=u@localhost"]
    plain(path / "lib/one", *who, "commit", "-q", "--allow-empty", "-m", "mine")
    assert not untouched(repo, path)


def test_a_name_that_leads_elsewhere_is_not_followed(box: Sandbox, repo: Repo, path: Path) -> None:
    assert path.exists()
    text = (box.root / ".gitmodules").read_text().replace('"first"', '"../modules/first"')
    box.commit({".gitmodules": text})
    (box.root / "lib/one/.git").unlink()
    assert list(known_submodules(repo, repo.tree_of(repo.head_commit()))) == []
