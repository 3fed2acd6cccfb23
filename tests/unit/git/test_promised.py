import subprocess
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.promised import bring, lacking
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox


def partial(box: Sandbox, place: Path, kind: str) -> Repo:
    box.git("config", "uploadpack.allowFilter", "true")
    box.git("config", "uploadpack.allowAnySHA1InWant", "true")
    origin = box.git("rev-parse", "--show-toplevel").strip()
    command = ["git", "clone", "-q", "--no-checkout", f"--filter={kind}", f"file://{origin}", str(place)]
    subprocess.run(command, check=True, capture_output=True)
    return Repo.open(place)


def test_a_plain_repository_lacks_nothing(repo: Repo) -> None:
    head = repo.head_commit()
    assert lacking(repo, head) == []
    bring(repo, head)


@pytest.mark.parametrize("kind", ["blob:none", "tree:0"])
def test_what_is_lacking_is_fetched_at_once_however_deep(box: Sandbox, tmp_path: Path, kind: str) -> None:
    box.commit({"a/b/c/d.txt": "d\n", "a/e.txt": "e\n"})
    repo = partial(box, tmp_path / "clone", kind)
    head = repo.head_commit()
    assert lacking(repo, head)
    bring(repo, head)
    assert lacking(repo, head) == []
    assert "a/b/c/d.txt" in {entry.path for entry in repo.entries(repo.tree_of(head))}


def test_a_remote_that_does_not_answer(box: Sandbox, tmp_path: Path) -> None:
    repo = partial(box, tmp_path / "clone", "blob:none")
    subprocess.run(["git", "-C", tmp_path / "clone", "remote", "set-url", "origin", "file:///nothing"], check=True)
    with pytest.raises(GitError, match="origin does not give them") as caught:
        bring(repo, repo.head_commit())
    assert caught.value.hint == "git fetch origin"
