from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.git.storage import require_whole
from branchline.git.workspace import Workspaces, borrow
from unit.git.sandbox import Sandbox


def test_what_is_done_in_a_borrowed_repository_stays_there(repo: Repo, tmp_path: Path) -> None:
    head, tree = repo.head_commit(), repo.tree_of(repo.head_commit())
    folder = tmp_path / "borrowed"
    folder.mkdir()
    before = {*repo.common_dir.rglob("*")}
    borrow(repo, folder, head)
    other = Repo.open(folder)
    assert (other.head_commit(), other.tree_of(head)) == (head, tree)
    made = other.commit(tree, [head], "more", 0)
    other.put_ref("refs/heads/x", made)
    place = Workspaces(other, tmp_path / "home", base=head, target="").add(tmp_path / "w", made)
    assert sorted(p.name for p in place.iterdir() if p.name != ".git") == sorted(
        {e.path.split("/")[0] for e in repo.entries(tree)}
    )
    assert repo.resolve(made) is None
    assert {*repo.common_dir.rglob("*")} == before


def test_a_shallow_repository_stays_shallow(box: Sandbox, tmp_path: Path) -> None:
    (box.root / ".git" / "shallow").write_text(f"{box.git('rev-parse', 'HEAD').strip()}\n")
    repo = Repo.open(box.root)
    borrow(repo, tmp_path, repo.head_commit())
    assert Repo.open(tmp_path).is_shallow()


def test_objects_that_are_gone_are_named(repo: Repo) -> None:
    head = repo.head_commit()
    require_whole(repo, [head, head])
    with pytest.raises(InvalidInput, match=f"the object {'1' * 40} is gone from "):
        require_whole(repo, [head, "1" * 40])
    blob = next(entry.oid for entry in repo.entries(repo.tree_of(head)))
    (repo.common_dir / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InvalidInput, match="objects of the run are gone"):
        require_whole(repo, [head])
