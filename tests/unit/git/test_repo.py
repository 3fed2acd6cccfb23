"""Opening a repository, its refs, its checkouts."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from branchline.errors import GitError, InvalidInput
from branchline.git.landing.checkout import is_dirty
from branchline.git.repo import NotARepository, RefMoved, Repo
from unit.git.sandbox import Sandbox


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotARepository) as caught:
            Repo.open(path)
        assert str(path) in caught.value.message
    subprocess.run(["git", "init", "-q", tmp_path / "r"], check=True)
    with pytest.raises(NotARepository):
        Repo.open(tmp_path / "r" / ".git")


def test_a_bare_repository(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", tmp_path], check=True)
    with pytest.raises(InvalidInput) as caught:
        Repo.open(tmp_path)
    assert caught.value.hint.startswith("git clone")


def test_a_repository_without_commits(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    with pytest.raises(InvalidInput) as caught:
        Repo.open(tmp_path)
    assert "git commit" in caught.value.hint
    assert Repo.find(tmp_path).root == tmp_path.resolve()


def test_open_from_a_folder_inside(box: Sandbox) -> None:
    repo = Repo.open(box.root / "src")
    assert (repo.root, repo.git_dir, repo.common_dir) == (box.root, box.root / ".git", box.root / ".git")


def test_a_linked_worktree_shares_the_common_dir(box: Sandbox) -> None:
    box.git("worktree", "add", "-q", "-b", "side", str(box.scratch / "side"))
    repo = Repo.open(box.scratch / "side")
    assert repo.root == box.scratch / "side"
    assert repo.common_dir == box.root / ".git"
    assert repo.head_branch() == "side"


def test_a_repository_with_a_newline_in_its_path(box: Sandbox) -> None:
    odd = box.scratch / "new\nline 'quoted'"
    box.git("clone", "-q", str(box.root), str(odd))
    repo = Repo.open(odd / "src")
    assert repo.root == odd
    assert repo.entries(repo.tree_of(repo.head_commit()))


def test_a_sha256_repository(box: Sandbox) -> None:
    root = box.scratch / "sha256"
    box.git("init", "-q", "--object-format=sha256", "-b", "main", str(root))
    box.git("commit", "-q", "--allow-empty", "-m", "first", cwd=root)
    repo = Repo.open(root)
    tree = repo.edit_tree(repo.tree_of(repo.head_commit()), {"x": ("100644", repo.write_blob(b"x"))})
    commit = repo.commit(tree, [repo.head_commit()], "second", 1)
    repo.move_ref("refs/heads/other", commit, None)
    repo.move_ref("refs/heads/other", None, commit)
    assert len(commit) == 64


def test_a_shallow_clone_says_so(box: Sandbox) -> None:
    box.commit({"a.txt": "x\n"})
    box.git("clone", "-q", "--depth=1", f"file://{box.root}", str(box.scratch / "shallow"))
    repo = Repo.open(box.scratch / "shallow")
    assert repo.is_shallow()
    assert repo.parents(repo.head_commit()) == ()
    assert not Repo.open(box.root).is_shallow()


def test_head(box: Sandbox, repo: Repo) -> None:
    head = repo.head_commit()
    assert repo.head_branch() == "main"
    box.git("checkout", "-q", "--detach")
    assert repo.head_branch() is None
    assert repo.head_commit() == head


def test_resolve(box: Sandbox, repo: Repo) -> None:
    head = repo.head_commit()
    box.git("tag", "-a", "-m", "t", "v1")
    for name in ("main", "v1", "HEAD", head[:10], "refs/heads/main"):
        assert repo.resolve(name) == head
    for name in ("nope", "", "--all", "main:a.txt", "@{99}", "a b\n"):
        assert repo.resolve(name) is None


def test_history(box: Sandbox, repo: Repo) -> None:
    old = repo.head_commit()
    new = box.commit({"a.txt": "x\n"})
    assert repo.is_ancestor(old, new)
    assert repo.is_ancestor(old, old)
    assert not repo.is_ancestor(new, old)
    with pytest.raises(GitError):
        repo.is_ancestor(old, "0" * 40)


def test_dirty_means_a_tracked_file_changed(box: Sandbox, repo: Repo) -> None:
    assert not is_dirty(repo)
    box.write({"untracked": "x"})
    assert not is_dirty(repo)
    box.write({"a.txt": "x"})
    assert is_dirty(repo)
    box.git("add", "a.txt")
    assert is_dirty(repo)
    box.git("reset", "-q", "--hard")
    (box.root / "a.txt").touch()
    assert not is_dirty(repo)
    (box.root / "a.txt").chmod(0o755)
    assert is_dirty(repo)


def test_looking_at_a_checkout_leaves_its_index_alone(box: Sandbox, repo: Repo) -> None:
    index = box.root / ".git" / "index"
    (box.root / "a.txt").touch()
    before = index.read_bytes(), index.stat().st_mtime_ns
    is_dirty(repo)
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_a_foreign_checkout_is_refused(box: Sandbox, repo: Repo) -> None:
    box.git("clone", "-q", str(box.root), str(box.scratch / "other"))
    with pytest.raises(GitError, match="not a checkout"):
        is_dirty(repo, box.scratch / "other")


def test_refs_are_moved_by_compare_and_swap(repo: Repo, box: Sandbox) -> None:
    one, ref = repo.head_commit(), "refs/branchline/r/x"
    two = box.commit({"a.txt": "2"})
    assert repo.read_ref(ref) is None
    repo.move_ref(ref, one, None)
    repo.move_ref(ref, one, None)
    assert repo.read_ref(ref) == one
    with pytest.raises(RefMoved):
        repo.move_ref(ref, two, None)
    with pytest.raises(RefMoved):
        repo.move_ref(ref, two, two)
    repo.move_ref(ref, two, one)
    repo.move_ref(ref, two, one)
    with pytest.raises(RefMoved):
        repo.move_ref(ref, None, one)
    repo.move_ref(ref, None, two)
    repo.move_ref(ref, None, two)
    assert repo.read_ref(ref) is None


def test_a_ref_that_git_refuses_is_an_error_in_its_words(repo: Repo) -> None:
    with pytest.raises(GitError, match=r"bad|invalid") as caught:
        repo.move_ref("refs/heads/a..b", repo.head_commit(), None)
    assert not isinstance(caught.value, RefMoved)


def test_one_of_many_racers_wins_a_ref(repo: Repo) -> None:
    base, tree = repo.head_commit(), repo.tree_of(repo.head_commit())
    racers = [repo.commit(tree, [base], f"racer {number}", number) for number in range(12)]

    def race(commit: str) -> bool:
        try:
            repo.move_ref("refs/heads/prize", commit, None)
        except RefMoved:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        won = [commit for commit, first in zip(racers, pool.map(race, racers), strict=True) if first]
    assert won == [repo.read_ref("refs/heads/prize")]


def test_refs_are_listed_by_prefix(repo: Repo) -> None:
    head = repo.head_commit()
    for name in ("refs/branchline/r/b", "refs/branchline/r/a", "refs/branchline/r2/x"):
        repo.move_ref(name, head, None)
    assert list(repo.list_refs("refs/branchline/r/")) == ["refs/branchline/r/a", "refs/branchline/r/b"]
    assert repo.list_refs("refs/branchline/r") == repo.list_refs("refs/branchline/r/")
    assert repo.list_refs("refs/none") == {}


def test_a_ref_that_keeps_what_it_held(repo: Repo, box: Sandbox) -> None:
    tree = repo.tree_of(repo.head_commit())
    one, two, three = (repo.commit(tree, [], name, 0) for name in ("one", "two", "three"))
    for commit in (one, one, two, one, two, three):
        repo.keep_ref("refs/branchline/R/attempts/t/1", commit)
    assert repo.list_refs("refs/branchline/R") == {
        "refs/branchline/R/attempts/t/1": three,
        "refs/branchline/R/attempts/t/1-kept-1": one,
        "refs/branchline/R/attempts/t/1-kept-2": two,
    }


def test_several_refs_move_together_or_not_at_all(repo: Repo, box: Sandbox) -> None:
    old, new = repo.head_commit(), box.branch_with({"x": "x"})
    moves: dict[str, tuple[str | None, str | None]] = {"refs/heads/b": (new, old), "refs/tags/t": (new, None)}
    repo.move_ref("refs/heads/b", old, None)
    repo.move_ref("refs/tags/t", old, None)
    with pytest.raises(RefMoved, match=f"refs/tags/t is at {old}, not at nothing"):
        repo.move_refs(moves)
    assert (repo.read_ref("refs/heads/b"), repo.read_ref("refs/tags/t")) == (old, old)
    repo.move_ref("refs/tags/t", None, old)
    repo.move_refs({"refs/tags/t/below": (old, None)})
    with pytest.raises(GitError, match="cannot move refs/heads/b and refs/tags/t"):
        repo.move_refs(moves)
    assert repo.read_ref("refs/heads/b") == old
    repo.move_ref("refs/tags/t/below", None, old)
    repo.move_refs(moves)
    assert (repo.read_ref("refs/heads/b"), repo.read_ref("refs/tags/t")) == (new, new)
    repo.move_refs(moves)
    repo.move_ref("refs/tags/t", None, new)
    repo.move_refs(moves)
    assert (repo.read_ref("refs/heads/b"), repo.read_ref("refs/tags/t")) == (new, new), "a killed move is finished"
