"""What was changed in a git directory is told from what people change, and can be put back."""

import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.git.fingerprint import (
    Fingerprint,
    as_it_was,
    checked_out,
    known_to_checkout,
    mend_refs,
    moved_refs,
    put_back,
    take,
    tampered,
)
from branchline.git.repo import Repo
from branchline.git.worktree import Worktrees
from unit.git.sandbox import Sandbox

OURS = re.compile("refs/branchline/")


def append(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)


def link(path: Path, target: str) -> None:
    if path.is_dir():
        path.rename(path.with_name("away"))
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


TAMPERING: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a program in the configuration": (lambda g: append(g / "config", "[core]\nfsmonitor = x\n"), ["config"]),
    "an alias": (lambda g: append(g / "config", "[alias]\nst = !x\n"), ["config"]),
    "an included file": (lambda g: append(g / "config", "[include]\npath = /tmp/x\n"), ["config"]),
    "a helper as a remote": (lambda g: append(g / "config", '[remote "n"]\nurl = ext::x\n'), ["config"]),
    "another address": (lambda g: append(g / "config", '[remote "origin"]\nurl = https://evil\n'), ["config"]),
    "nonsense": (lambda g: append(g / "config", "[core\n"), ["config"]),
    "no configuration": (lambda g: (g / "config").unlink(), ["config"]),
    "a link": (lambda g: link(g / "config", "/dev/null"), ["config"]),
    "a folder": (lambda g: folder(g / "config"), ["config"]),
    "a hook": (lambda g: append(g / "hooks" / "pre-commit", "#!/bin/sh\n"), ["hooks/pre-commit"]),
    "hooks elsewhere": (lambda g: link(g / "hooks", "/tmp"), ["hooks", "hooks/post-merge"]),
    "a changed hook": (lambda g: append(g / "hooks" / "post-merge", "evil\n"), ["hooks/post-merge"]),
    "an executable hook": (lambda g: (g / "hooks" / "post-merge").chmod(0o755), ["hooks/post-merge"]),
    "attributes": (lambda g: append(g / "info" / "attributes", "* filter=x\n"), ["info/attributes"]),
    "borrowed objects": (lambda g: append(g / "objects/info/alternates", "/tmp\n"), ["objects/info/alternates"]),
    "another HEAD": (lambda g: (g / "HEAD").write_text("evil"), ["HEAD"]),
    "no HEAD": (lambda g: (g / "HEAD").unlink(), ["HEAD"]),
    "a worktree's own": (lambda g: (g / "worktrees/a-1/commondir").write_text(""), ["worktrees/a-1/commondir"]),
}
HONEST: dict[str, Callable[[Path], object]] = {
    "a name": lambda g: append(g / "config", "[user]\nname = me\nemail = me@example.org\n"),
    "a branch to follow": lambda g: append(g / "config", '[branch "x"]\nremote = origin\nmerge = refs/heads/x\n'),
    "a new remote": lambda g: append(g / "config", '[remote "fork"]\nurl = https://x\nfetch = +refs/heads/*:y\n'),
    "another branch": lambda g: (g / "HEAD").write_text("ref: refs/heads/other\n"),
    "a detached HEAD": lambda g: (g / "HEAD").write_text("0" * 40 + "\n"),
    "a sample": lambda g: append(g / "hooks" / "x.sample", "x"),
    "a worktree that goes": lambda g: (g / "worktrees" / "a-1").rename(g / "gone"),
    "what git ignores": lambda g: append(g / "info" / "exclude", "x\n"),
}


@pytest.fixture
def git_dir(box: Sandbox, repo: Repo, worktrees: Worktrees) -> Path:
    """A git directory with a hook, a remote and a worktree."""
    worktrees.add(box.root / ".runs" / "a-1", repo.head_commit(), "feature/a-1")
    box.git("remote", "add", "origin", "https://example.org/x")
    hook = box.root / ".git" / "hooks" / "post-merge"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o644)
    return box.root / ".git"


@pytest.mark.parametrize("what", TAMPERING)
def test_tampering_is_seen_and_put_back(what: str, git_dir: Path, box: Sandbox, repo: Repo) -> None:
    change, parts = TAMPERING[what]
    before = take(repo, OURS)
    change(git_dir)
    after = take(repo, OURS)
    assert tampered(before, after) == parts
    assert after.digest != before.digest
    put_back(repo, before, parts, box.scratch / "kept")
    again = take(repo, OURS)
    assert tampered(before, again) == []
    assert again.digest == before.digest
    assert box.git("status", "--porcelain", "--", "a.txt") == ""
    assert as_it_was(before, after, parts, {}).parts == before.parts


@pytest.mark.parametrize("what", HONEST)
def test_what_people_do_is_no_tampering(what: str, git_dir: Path, repo: Repo) -> None:
    before = take(repo, OURS)
    HONEST[what](git_dir)
    assert tampered(before, take(repo, OURS)) == []


def test_what_was_found_is_kept(git_dir: Path, box: Sandbox, repo: Repo) -> None:
    before = take(repo, OURS)
    append(git_dir / "hooks" / "pre-push", "evil")
    append(git_dir / "config", "[alias]\nx = !y\n")
    put_back(repo, before, ["config", "hooks/pre-push"], box.scratch / "kept")
    assert (box.scratch / "kept" / "hooks" / "pre-push").read_text() == "evil"
    assert "!y" in (box.scratch / "kept" / "config").read_text()
    assert stat.S_IMODE((git_dir / "hooks" / "post-merge").stat().st_mode) == 0o644


def test_refs_that_moved(git_dir: Path, box: Sandbox, repo: Repo) -> None:
    head = repo.head_commit()
    box.git("branch", "gone")
    box.git("update-ref", "refs/branchline/r/x", head)
    before = take(repo, OURS)
    box.git("update-ref", "-d", "refs/heads/gone")
    box.git("update-ref", "-d", "refs/branchline/r/x")
    new = box.commit({"n": "n"})
    after = take(repo, OURS)
    assert list(moved_refs(before, after)) == [("refs/heads/gone", head, None), ("refs/heads/main", head, new)]
    assert set(before.own) - set(after.own) == {"refs/branchline/r/x"}
    mixed = as_it_was(before, after, [], {"refs/heads/gone": head, "refs/heads/main": None})
    assert mixed.refs is not None
    assert "refs/branchline/r/x" in mixed.own
    assert mixed.refs.get("refs/heads/gone") == head
    assert "refs/heads/main" not in mixed.refs


def test_refs_that_nobody_can_read_are_mended(git_dir: Path, box: Sandbox, repo: Repo) -> None:
    box.git("branch", "side")
    box.git("pack-refs", "--all")
    box.git("branch", "loose")
    before = take(repo, OURS)
    (git_dir / "packed-refs").write_text("nonsense\n")
    (git_dir / "refs" / "heads" / "loose").write_text("nonsense\n")
    (git_dir / "refs" / "heads" / "evil").write_bytes(b"\0")
    broken = take(repo, OURS)
    assert broken.refs is None
    assert list(moved_refs(before, broken)) == []
    assert as_it_was(before, broken, [], {}).refs == before.refs
    mend_refs(repo, before, box.scratch / "kept")
    assert take(repo, OURS).refs == before.refs
    assert (box.scratch / "kept" / "refs" / "heads" / "evil").read_bytes() == b"\0"


def test_a_fingerprint_without_refs_has_a_digest() -> None:
    assert Fingerprint({}, None).digest == Fingerprint({}, {}).digest


def test_a_commit_that_the_checkout_never_saw(box: Sandbox, repo: Repo) -> None:
    made = box.commit({"m": "m"})
    assert known_to_checkout(repo, made)
    assert checked_out(repo) == "refs/heads/main"
    foreign = box.git("commit-tree", "-m", "x", box.git("rev-parse", "HEAD^{tree}").strip()).strip()
    box.git("update-ref", "refs/heads/other", foreign)
    assert not known_to_checkout(repo, foreign)
    box.git("checkout", "-q", "--detach")
    assert checked_out(repo) is None
    (box.root / ".git" / "logs" / "HEAD").unlink()
    assert known_to_checkout(repo, foreign)
