"""An agent's own commits are found whatever it did with them, and nothing in its `.git` is obeyed."""

import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git import own_commits as module
from branchline.git.own_commits import head_of, own_commits
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from unit.git.sandbox import Sandbox


@pytest.fixture
def path(box: Sandbox, repo: Repo, workspaces: Workspaces) -> Path:
    return workspaces.add(box.scratch / "w" / "a", repo.head_commit(), "feature/a-1")


def commit(box: Sandbox, path: Path, text: str, *args: str) -> str:
    (path / "work").write_text(text)
    box.git("add", "work", cwd=path)
    box.git("commit", "-q", "-m", text, *args, cwd=path)
    return box.git("rev-parse", "HEAD", cwd=path).strip()


def tips(box: Sandbox, repo: Repo, path: Path) -> set[str]:
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        return set(found.tips) if found else set()


def loose(path: Path, oid: str) -> Path:
    return path / ".git" / "objects" / oid[:2] / oid[2:]


def test_nothing_was_committed(box: Sandbox, repo: Repo, path: Path) -> None:
    assert tips(box, repo, path) == set()
    (path / "a.txt").write_text("changed")
    box.git("add", "a.txt", cwd=path)
    assert tips(box, repo, path) == set()


def _kept(box: Sandbox, path: Path) -> set[str]:
    commit(box, path, "one")
    return {commit(box, path, "two")}


def _amended(box: Sandbox, path: Path) -> set[str]:
    return {commit(box, path, "one"), commit(box, path, "two", "--amend")}


def _reset_away(box: Sandbox, path: Path) -> set[str]:
    gone = commit(box, path, "one")
    box.git("reset", "-q", "--hard", "HEAD~1", cwd=path)
    return {gone}


def _stashed(box: Sandbox, path: Path) -> set[str]:
    (path / "a.txt").write_text("stashed")
    box.git("stash", "-q", cwd=path)
    return {box.git("rev-parse", "stash", cwd=path).strip()}


def _stash_dropped(box: Sandbox, path: Path) -> set[str]:
    _stashed(box, path)
    (path / "a.txt").write_text("again")
    box.git("stash", "-q", cwd=path)
    return set(box.git("reflog", "show", "--format=%H", "stash", cwd=path).split())


def _detached(box: Sandbox, path: Path) -> set[str]:
    box.git("checkout", "-q", "--detach", cwd=path)
    return {commit(box, path, "one")}


def _branches(box: Sandbox, path: Path) -> set[str]:
    box.git("checkout", "-q", "-b", "one", cwd=path)
    one = commit(box, path, "one")
    box.git("checkout", "-q", "-b", "two", "HEAD~1", cwd=path)
    return {one, commit(box, path, "two")}


def _branch_deleted(box: Sandbox, path: Path) -> set[str]:
    found = _branches(box, path)
    box.git("branch", "-q", "-D", "one", cwd=path)
    return found


def _tagged(box: Sandbox, path: Path) -> set[str]:
    commit(box, path, "one")
    box.git("tag", "-a", "-m", "t", "own", cwd=path)
    shutil.rmtree(path / ".git" / "logs")
    return {box.git("rev-parse", "HEAD", cwd=path).strip()}


def _unrelated(box: Sandbox, path: Path) -> set[str]:
    box.git("checkout", "-q", "--orphan", "root", cwd=path)
    return {commit(box, path, "one")}


def _merged(box: Sandbox, path: Path) -> set[str]:
    _branches(box, path)
    box.git("merge", "-q", "-s", "ours", "--no-edit", "one", cwd=path)
    return {box.git("rev-parse", "HEAD", cwd=path).strip()}


def _another_repository(box: Sandbox, path: Path) -> set[str]:
    shutil.rmtree(path / ".git")
    box.git("init", "-q", cwd=path)
    return {commit(box, path, "one")}


def _collected(box: Sandbox, path: Path) -> set[str]:
    _reset_away(box, path)
    box.git("reflog", "expire", "--expire=now", "--all", cwd=path)
    box.git("gc", "-q", "--prune=now", cwd=path)
    assert (path / ".git/ORIG_HEAD").exists()
    return {commit(box, path, "two")}


def _worktree(box: Sandbox, path: Path) -> set[str]:
    box.git("worktree", "add", "-q", "--detach", "nested", cwd=path)
    return {commit(box, path / "nested", "one")}


WAYS: dict[str, Callable[[Sandbox, Path], set[str]]] = {
    way.__name__.strip("_"): way
    for way in (
        _kept, _amended, _reset_away, _stashed, _stash_dropped, _detached, _branches, _branch_deleted, _tagged,
        _unrelated, _merged, _another_repository, _worktree, _collected,
    )
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("way", WAYS)
def test_commits_are_found_however_they_were_made(box: Sandbox, repo: Repo, path: Path, way: str, packed: bool) -> None:
    made = WAYS[way](box, path)
    if packed:
        box.git("gc", "-q", cwd=path)
        box.git("pack-refs", "--all", cwd=path)
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        assert set(found.tips) == made
        assert all(repo.resolve(tip) is None for tip in made)
        found.take_in(repo)
    for number, tip in enumerate(sorted(made)):
        repo.put_ref(f"refs/heads/taken-{number}", tip)
    box.git("fsck", "--full", "--strict", "--connectivity-only")
    assert [*box.scratch.glob("commits-*")] == []


def test_what_is_there_is_not_read_again(box: Sandbox, repo: Repo, path: Path) -> None:
    first = commit(box, path, "one")
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        assert len(found.objects) == 3  # a commit, its tree, its blob
        assert dict(found.read(found.objects))["blob"] == b"one"
        assert set(found.sizes()) == set(found.objects)
        found.take_in(repo)
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        assert (found.tips, found.objects) == ((first,), ())


def test_commits_can_be_kept_as_a_file(box: Sandbox, repo: Repo, path: Path, tmp_path: Path) -> None:
    made = _branches(box, path)
    bundle = tmp_path / "commits.bundle"
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        found.bundle(bundle)
    assert [one.name for one in tmp_path.glob("bundle-*")] == []
    assert all(repo.resolve(tip) is None for tip in made)
    box.git("fetch", "-q", str(bundle), "refs/heads/*:refs/heads/back/*")
    assert set(repo.list_refs("refs/heads/back").values()) == made


ODD = ["a b", "a:b", 'a"b', "a\\b", "a\nb", '"a"', os.fsdecode(b"a\xff")]


@pytest.mark.parametrize("name", ODD)
def test_objects_are_read_at_a_path_with_any_name(tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "repo"
    root.mkdir(parents=True)
    box = Sandbox(root, tmp_path)
    box.git("init", "-q", "-b", "main")
    head, repo = box.commit({"a.txt": "a\n"}), Repo.open(root)
    path = Workspaces(repo, tmp_path / "home", base=head, target="main").add(tmp_path / name / "w", head, "feature/a")
    made = commit(box, path, "one")
    with own_commits(repo, path, head, box.scratch) as found:
        assert found is not None
        found.take_in(repo)
    assert repo.resolve(made) == made


def test_a_forged_object_is_not_taken_in(box: Sandbox, repo: Repo, path: Path) -> None:
    commit(box, path, "one")
    blob = box.git("rev-parse", "HEAD:work", cwd=path).strip()
    loose(path, blob).chmod(0o644)
    loose(path, blob).write_bytes(zlib.compress(b"blob 6\0forged"))
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        with pytest.raises(GitError):
            found.take_in(repo)
    assert b"forged" not in _everything(box)


def test_a_ruined_object_is_said(box: Sandbox, repo: Repo, path: Path) -> None:
    commit(box, path, "one")
    blob = box.git("rev-parse", "HEAD:work", cwd=path).strip()
    loose(path, blob).chmod(0o644)
    loose(path, blob).write_bytes(b"garbage")
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        for look in (found.sizes, lambda: list(found.read(found.objects)), lambda: found.take_in(repo)):
            with pytest.raises(GitError):
                look()


def test_an_object_that_stands_for_one_of_the_users_is_not_taken_in(box: Sandbox, repo: Repo, path: Path) -> None:
    """Packs are asked before loose objects: a pack of the agent's can shadow what the user has."""
    commit(box, path, "one")
    forged = path / "forged"
    forged.mkdir()
    box.git("init", "-q", cwd=forged)
    users = next(entry.oid for entry in repo.entries(repo.tree_of(repo.head_commit())) if entry.path == "a.txt")
    (forged / "secret").write_text("shadow")
    mine = box.git("hash-object", "-w", "secret", cwd=forged).strip()
    done = subprocess.run(
        ["git", "pack-objects", "-q", str(path / ".git/objects/pack/pack")],
        cwd=forged, input=mine.encode(), capture_output=True, check=True,
    )  # fmt: skip
    index = path / f".git/objects/pack/pack-{done.stdout.decode().strip()}.idx"
    index.chmod(0o644)
    index.write_bytes(_renamed(index.read_bytes(), bytes.fromhex(mine), bytes.fromhex(users)))
    assert box.git("cat-file", "blob", users, cwd=path) == "shadow"
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        assert users not in found.objects
        found.take_in(repo)
    assert b"shadow" not in _everything(box)
    assert repo.read_blob(users) == b"one\ntwo\nthree\n"


def _renamed(index: bytes, old: bytes, new: bytes) -> bytes:
    """A pack index of one object that names another."""
    fanout = b"".join((1 if number >= new[0] else 0).to_bytes(4) for number in range(256))
    return index[:8] + fanout + index[8 + 1024 :].replace(old, new)


def _everything(box: Sandbox) -> bytes:
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, cwd=box.root, capture_output=True, check=True).stdout


@pytest.mark.parametrize("what", ["HEAD:work", "HEAD^{tree}", "HEAD~1"])
def test_a_missing_object_is_said(box: Sandbox, repo: Repo, path: Path, what: str) -> None:
    commit(box, path, "one")
    commit(box, path, "two")
    loose(path, box.git("rev-parse", what, cwd=path).strip()).unlink()
    with pytest.raises(GitError), own_commits(repo, path, repo.head_commit(), box.scratch):
        pass


@pytest.mark.parametrize("part", ["objects", "refs", "logs"])
def test_links_are_not_followed(box: Sandbox, repo: Repo, path: Path, part: str) -> None:
    made = commit(box, path, "one")
    (path / ".git" / part).rename(box.scratch / part)
    (path / ".git" / part).symlink_to(box.scratch / part)
    if part == "objects":
        with pytest.raises(GitError, match=f"{made} is missing"):
            tips(box, repo, path)
    else:
        assert tips(box, repo, path) == {made}


def test_what_is_too_much_to_read_is_said(
    box: Sandbox, repo: Repo, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(box, path, "zero")
    _branches(box, path)
    for name in ("MOST_FILES", "MOST_COMMITS", "MOST_OBJECTS"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, 1)
            with pytest.raises(GitError, match="more than"):
                tips(box, repo, path)


PIPES = ["HEAD", "ORIG_HEAD", "config", "packed-refs", "refs/heads/pipe", "logs/refs/heads/pipe", "index", "shallow"]
OBJECT_PIPES = [
    "objects/info/alternates", "objects/pack/pack-1.idx", "objects/pack/multi-pack-index", "objects/info/commit-graph",
    "objects/info/commit-graphs/commit-graph-chain", "objects/11/11111111111111111111111111111111111111",
]  # fmt: skip


@pytest.mark.parametrize("pipe", [*PIPES, *OBJECT_PIPES])
def test_pipes_are_not_waited_for(box: Sandbox, repo: Repo, path: Path, pipe: str) -> None:
    commit(box, path, "one")
    (path / ".git" / "refs/heads/other").write_text("1" * 40 + "\n")
    place = path / ".git" / pipe
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    if pipe.endswith(".idx"):
        place.with_suffix(".pack").touch()
    try:
        found = tips(box, repo, path)
    except GitError:
        return
    assert len(found) == 1


def test_nothing_that_is_configured_runs(box: Sandbox, repo: Repo, path: Path) -> None:
    made = commit(box, path, "one")
    canary, trap = box.scratch / "canary", box.scratch / "trap"
    trap.write_text(f"#!/bin/sh\necho ran >> {canary}\ncat\n")
    trap.chmod(0o755)
    with (path / ".git/config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = {trap}\n\thooksPath = {box.scratch}\n\talternateRefsCommand = {trap}\n")
        file.write(f'[uploadpack]\n\tpackObjectsHook = {trap}\n[remote "x"]\n\tpromisor = true\n\turl = ext::{trap}\n')
        file.write("[core\n")
    with own_commits(repo, path, repo.head_commit(), box.scratch) as found:
        assert found is not None
        assert found.tips == (made,)
        found.take_in(repo)
        found.bundle(box.scratch / "x.bundle")
    assert not canary.exists()


@pytest.mark.parametrize("replaced", ["file", "link", "gone", "pipe"])
def test_no_folder_no_commits(box: Sandbox, repo: Repo, path: Path, replaced: str) -> None:
    commit(box, path, "one")
    moved = (path / ".git").rename(box.scratch / "moved")
    if replaced == "file":
        (path / ".git").write_text(f"gitdir: {moved}\n")
    elif replaced == "link":
        (path / ".git").symlink_to(moved)
    elif replaced == "pipe":
        os.mkfifo(path / ".git")
    assert tips(box, repo, path) == set()
    assert head_of(path) is None


def test_the_head_is_read_from_plain_files(box: Sandbox, repo: Repo, path: Path) -> None:
    base, git_dir = repo.head_commit(), path / ".git"
    assert head_of(path) == base  # its branch is among the packed ones
    made = commit(box, path, "one")
    assert head_of(path) == made
    box.git("checkout", "-q", "--detach", cwd=path)
    assert head_of(path) == made
    for text in ("ref: refs/heads/none", "", "ref: ../../../a.txt", "ref: refs/heads/\0", "ref: refs"):
        (git_dir / "HEAD").write_text(text)
        assert head_of(path) is None, text
    (git_dir / "HEAD").unlink()
    (git_dir / "HEAD").symlink_to(path / "a.txt")
    assert head_of(path) is None
