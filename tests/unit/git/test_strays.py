"""Objects that somebody else's git made: found, judged, taken out."""

import os
import re
import time
import zlib
from pathlib import Path

import pytest

from branchline.git import strays as module
from branchline.git.repo import Repo
from branchline.git.strays import Stray, held_by_others, loose_since, read_strays, take_out, those_leading_to
from branchline.git.worktree import Worktrees
from unit.git.sandbox import Sandbox

NOBODYS = re.compile("refs/none/")


def now(box: Sandbox) -> int:
    """The file system's clock, a moment later."""
    time.sleep(0.02)
    (box.scratch / "stamp").write_text("x")
    return (box.scratch / "stamp").stat().st_ctime_ns


def loose(box: Sandbox, oid: str) -> Path:
    return box.root / ".git" / "objects" / oid[:2] / oid[2:]


def test_only_new_objects_are_strays_whatever_their_times_say(box: Sandbox, repo: Repo) -> None:
    since = now(box)
    assert not loose_since(repo, since)
    oid = repo.write_blob(b"new")

    os.utime(loose(box, oid), (0, 0))
    (box.root / ".git" / "objects" / oid[:2] / "tmp_obj_x").write_text("half")
    assert list(loose_since(repo, since)) == [oid]


def test_objects_are_read_in_groups_and_damaged_ones_named(
    box: Sandbox, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 100)
    monkeypatch.setattr(module, "_LARGEST", 90)
    blobs = {repo.write_blob(data): data for data in (b"a" * 60, b"b" * 60, b"c\nd\n", b"")}
    large, broken, other = (repo.write_blob(data) for data in (b"l" * 91, b"broken", b"other"))
    for oid, content in ((broken, b"garbage"), (other, zlib.compress(b"blob 5\0wrong"))):
        loose(box, oid).chmod(0o644)
        loose(box, oid).write_bytes(content)
    asked = sorted([*blobs, large, broken, other])
    found = {one.oid: one for one in read_strays(repo, asked)}
    assert sorted(found) == asked
    assert {oid: found[oid].data for oid in blobs} == blobs
    assert all(found[oid].genuine and found[oid].kind == "blob" for oid in blobs)
    assert [found[oid].kind for oid in (large, broken)] == ["", ""]
    assert not found[other].genuine
    assert list(read_strays(repo, [])) == []


def test_what_cannot_be_whole_without_it_goes_too(box: Sandbox, repo: Repo) -> None:
    since = now(box)
    box.git("checkout", "-q", "--detach")
    bad = box.commit({"deep/er/secret": "s", "ok": "o"})
    later = box.commit({"deep/er/secret": None})
    apart = box.branch_with({"apart": "a"})
    box.git("tag", "-a", "-m", "x", "t", bad)
    strays = list(read_strays(repo, sorted(loose_since(repo, since))))
    secret = box.git("rev-parse", f"{bad}:deep/er/secret").strip()
    leading = those_leading_to(strays, {secret})
    kinds = sorted(one.kind for one in strays if one.oid in leading)
    assert kinds == ["blob", "commit", "commit", "tag", "tree", "tree", "tree"]
    assert {bad, later} <= leading
    assert apart not in leading


def test_what_the_user_has_is_held(box: Sandbox, repo: Repo) -> None:
    base = repo.head_commit()
    committed = box.commit({"mine": "m"})
    box.git("reset", "-q", "--hard", base)
    (box.root / "staged").write_text("staged")
    box.git("add", "staged")
    side = box.git("commit-tree", "-m", "s", "-p", base, box.git("rev-parse", f"{base}^{{tree}}").strip()).strip()
    box.git("update-ref", "refs/heads/side", side)
    held = held_by_others(repo, base, NOBODYS)
    staged = box.git("rev-parse", ":staged").strip()
    assert {committed, staged, side} <= held
    assert side not in held_by_others(repo, base, re.compile("refs/heads/side$"))


def test_taken_out_they_can_still_be_read(box: Sandbox, repo: Repo) -> None:
    oid, packed = repo.write_blob(b"content"), repo.head_commit()
    box.git("repack", "-q", "-a", "-d")
    folder = box.scratch / "kept"
    assert take_out(repo, [oid, packed], folder) == [oid]
    assert not loose(box, oid).exists()
    kept = folder / oid[:2] / oid[2:]
    assert kept.stat().st_mode & 0o777 == 0o600
    env = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(folder)}
    assert repo.content.call("cat-file", "blob", oid, env=env) == b"content"


def test_a_name_and_its_content() -> None:
    empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert Stray(empty, "blob", b"").genuine
    assert not Stray(empty, "blob", b"x").genuine
    assert not Stray(empty, "", b"").genuine


def test_a_worktree_is_led_away_from_what_goes(box: Sandbox, repo: Repo) -> None:
    base = repo.head_commit()
    worktrees = Worktrees(repo, box.scratch / "lock")
    path = worktrees.add(box.root / ".runs" / "a-1", base, "feature/a-1")
    box.write({"secret": "s"}, at=path)
    box.git("add", "secret", cwd=path)
    blob = box.git("rev-parse", ":secret", cwd=path).strip()
    assert worktrees.objects(path, base) >= {blob}
    box.git("commit", "-q", "-m", "bad", cwd=path)
    bad = worktrees.head(path).commit
    box.git("commit", "-q", "--amend", "-m", "worse", cwd=path)
    worse = worktrees.head(path).commit
    assert bad is not None
    assert worse is not None
    gone = {blob, bad, worse, repo.tree_of(bad)}
    assert gone <= worktrees.objects(path, base)
    worktrees.forget(path, gone, base)
    assert worktrees.head(path).commit == base
    assert worktrees.objects(path, base) & gone == set()
    take_out(repo, sorted(gone), box.scratch / "kept")
    box.git("fsck", "--full", "--strict")
    assert box.git("status", "--porcelain", cwd=path) == "?? secret\n"
