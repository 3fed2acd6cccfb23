"""New content is looked at before it is an object of the repository."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from branchline.git import intake as module
from branchline.git.commit import Snapshot, save, snapshot
from branchline.git.intake import Intake
from branchline.git.repo import Repo
from branchline.git.screen import Refused
from branchline.git.workspace import Workspaces
from unit.git.sandbox import Sandbox

BAD = b"not-to-be-kept"


class Looking:
    """Objects to a word, and remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: dict[str, bytes] = {}

    def __call__(self, intake: Intake) -> Iterable[Refused]:
        for group in intake.groups():
            self.shown |= {one.path: data for one, data in group}
        return [
            Refused(path, "bad", 1 + data.count(b"\n", 0, data.find(BAD)))
            for path, data in self.shown.items()
            if BAD in data
        ]


@pytest.fixture
def path(box: Sandbox, repo: Repo, workspaces: Workspaces) -> Path:
    return workspaces.add(box.scratch / "a-1", repo.head_commit(), "feature/a-1")


def take(repo: Repo, workspaces: Workspaces, path: Path, scratch: Path, looking: Looking) -> Snapshot:
    base = repo.tree_of(repo.head_commit())
    return snapshot(workspaces.content(path), path, base, scratch=scratch, inspect=looking)


def objects(box: Sandbox) -> bytes:
    command = ["git", "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, cwd=box.root, capture_output=True, check=True).stdout


def test_what_is_refused_never_was_an_object(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({"a.txt": b"one\n" + BAD, "new": BAD, "good": b"good", "src/b.py": None}, at=path)
    (path / "ln").symlink_to("x/" + BAD.decode())
    looking = Looking()
    taken = take(repo, workspaces, path, box.scratch, looking)
    assert looking.shown == {"a.txt": b"one\n" + BAD, "good": b"good", "ln": b"x/" + BAD, "new": BAD}
    assert taken.refused == (Refused("a.txt", "bad", 2), Refused("ln", "bad", 1), Refused("new", "bad", 1))
    assert str(taken.refused[0]) == "a.txt:2: bad"
    changes = {one.path: one.status for one in repo.changes(repo.tree_of(repo.head_commit()), taken.tree)}
    assert changes == {"good": "A", "src/b.py": "D"}
    assert BAD not in objects(box)
    assert box.git("fsck", "--strict") == box.git("fsck", "--strict")
    assert list(box.scratch.glob("index-*")) == []


def test_a_refused_file_where_a_folder_was_and_the_other_way_round(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({"src/b.py": None, "a.txt": None, "a.txt/in": BAD}, at=path)
    (path / "src").rmdir()
    (path / "src").write_bytes(BAD)
    taken = take(repo, workspaces, path, box.scratch, Looking())
    assert [one.path for one in taken.refused] == ["a.txt/in", "src"]
    changes = {one.path: one.status for one in repo.changes(repo.tree_of(repo.head_commit()), taken.tree)}
    assert changes == {"a.txt": "D", "src/b.py": "D"}


def test_only_what_differs_from_the_base_is_shown(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    looking = Looking()
    assert take(repo, workspaces, path, box.scratch, looking).refused == ()
    assert looking.shown == {}
    (path / "a.txt").chmod(0o755)
    taken = take(repo, workspaces, path, box.scratch, looking)
    assert looking.shown == {"a.txt": b"one\ntwo\nthree\n"}
    assert next(one.mode for one in repo.entries(taken.tree) if one.path == "a.txt") == "100755"


def test_an_object_that_was_there_before_is_shown_all_the_same(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({"new": BAD}, at=path)
    box.git("add", "new", cwd=path)
    assert [one.path for one in take(repo, workspaces, path, box.scratch, Looking()).refused] == ["new"]


def test_what_is_too_large_to_look_at_is_refused(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CONTENT", 1000)
    box.write({"large": b"x" * 1001, "small": b"x" * 1000}, at=path)
    taken = take(repo, workspaces, path, box.scratch, Looking())
    assert taken.refused == (Refused("large", "more than 1000 bytes cannot be looked through"),)


def test_content_comes_in_groups(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 10)
    box.write({f"f{number}": f"{number}" * 6 for number in range(4)} | {"g": "y", "h": "z"}, at=path)
    sizes: list[int] = []

    def inspect(intake: Intake) -> Iterable[Refused]:
        sizes.extend(sum(len(data) for _, data in group) for group in intake.groups(skip=[]))
        assert intake.base == repo.tree_of(repo.head_commit())
        return ()

    base = repo.tree_of(repo.head_commit())
    snapshot(workspaces.content(path), path, base, scratch=box.scratch, inspect=inspect)
    assert sizes == [6, 6, 6, 8]


def test_saving_leaves_it_out_too(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({".gitignore": "*.log\n", "x.log": BAD, "y.log": b"fine"}, at=path)
    ref, base = "refs/branchline/r/saved/a", repo.head_commit()
    saved = save(repo, path, ref=ref, parents=[base], when=1, scratch=box.scratch, inspect=Looking())
    assert {one.path for one in repo.entries(saved.commit)} == {"a.txt", "link", "src/b.py", ".gitignore", "y.log"}
    assert saved.refused == (Refused("x.log", "bad", 1),)
    assert BAD not in objects(box)


def test_many_objects_come_in_as_one_pack(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({f"f{number}": f"{number}" for number in range(module.MOST_LOOSE + 1)} | {"bad": BAD}, at=path)
    taken = take(repo, workspaces, path, box.scratch, Looking())
    assert [one.path for one in taken.refused] == ["bad"]
    assert len(repo.entries(taken.tree)) == module.MOST_LOOSE + 4
    assert len(list((box.root / ".git" / "objects" / "pack").glob("*.pack"))) == 1
    assert BAD not in objects(box)
    repo.put_ref("refs/heads/x", repo.commit(taken.tree, [], "x", 0))
    assert "missing" not in box.git("fsck", "--full", "--strict")


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a second file system")
def test_objects_come_in_from_another_file_system(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(dir="/dev/shm") as other:
        if os.stat(other).st_dev == box.root.stat().st_dev:
            pytest.skip("it is the same one")
        box.write({"new": "elsewhere"}, at=path)
        taken = take(repo, workspaces, path, Path(other), Looking())
    assert {one.path for one in repo.entries(taken.tree)} == {"a.txt", "link", "src/b.py", "new"}
    assert b"elsewhere" in objects(box)


def test_values_are_looked_for_as_they_are(box: Sandbox, repo: Repo) -> None:
    tree = repo.tree_of(box.commit({"v": "a.*c $x\n-e\n[z]\n", "bin": b"\0needle\0"}))
    wanted = [b"a.*c", b"-e", b"[z]", b"needle", b"abc", b"^a"]
    assert repo.standing_in(tree, wanted) == {b"a.*c", b"-e", b"[z]", b"needle"}
    assert repo.standing_in(tree, []) == set()
