"""The user's filters run on what agents write, as they run for the user; those of an agent never do."""

import os
import shlex
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.commit import snapshot
from branchline.git.intake import Intake
from branchline.git.repo import Repo
from branchline.git.screen import Refused
from branchline.git.storage import problems
from branchline.sandbox.mounts import Mount, own
from unit.git.sandbox import Sandbox
from unit.git.users import changes, check_out, configure, needs_crypt, needs_lfs, rewrite, stored, take


@pytest.fixture
def up(box: Sandbox) -> Repo:
    """A repository that stores *.txt in capitals."""
    for name, value in (("clean", "tr a-z A-Z"), ("smudge", "tr A-Z a-z"), ("required", "true")):
        box.git("config", f"filter.up.{name}", value)
    box.commit({".gitattributes": "*.txt filter=up\n", "a.txt": "small\n", "b b.txt": "b\n"})
    return Repo.open(box.root)


def test_files_are_checked_out_and_stored_through_a_filter(up: Repo, box: Sandbox) -> None:
    assert up.read_blob(next(one.oid for one in up.entries(up.head_commit()) if one.path == "a.txt")) == b"SMALL\n"
    git = check_out(up, box.scratch / "w")
    assert (box.scratch / "w" / "a.txt").read_text() == "small\n"
    rewrite(box.scratch / "w")
    assert changes(up, take(up, git, box)) == {}
    box.write({"a.txt": "other\n", "new.txt": "new\n"}, at=box.scratch / "w")
    taken = take(up, git, box)
    assert changes(up, taken) == {"a.txt": "M", "new.txt": "A"}
    assert (stored(up, taken, "a.txt"), stored(up, taken, "new.txt")) == (b"OTHER\n", b"NEW\n")


def test_a_filter_is_given_the_users_variables_and_repository_back(
    box: Sandbox, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = box.scratch / "log"
    configure(home, f"filter.log.clean=sh {box.scratch / 'log.sh'} %f '100%%'")
    (box.scratch / "log.sh").write_text(
        f'{{ echo "$@"; pwd; git rev-parse --absolute-git-dir; git config a.b; env; }} >{log}; cat\n'
    )
    box.git("config", "a.b", "the user's")
    box.commit({".gitattributes": "*.log filter=log\n"})
    monkeypatch.setenv("GIT_AUTHOR_NAME", "The Author")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "x.y")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "z")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    box.write({"it's a %f.log": "x"}, at=box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {"it's a %f.log": "A"}
    name, folder, git_dir, value, *environment = log.read_text().splitlines()
    assert (name, folder, git_dir, value) == (
        "it's a %f.log 100%",
        str(box.scratch / "w"),
        str(box.root / ".git"),
        "the user's",
    )
    assert {"GIT_AUTHOR_NAME=The Author", "GIT_CONFIG_KEY_0=x.y", "LC_ALL=C.UTF-8", f"HOME={home}"} <= set(environment)
    assert not {one for one in environment if one.startswith(("GIT_INDEX_FILE=", "GIT_OBJECT_DIRECTORY=", "GIT_GRAFT"))}


def test_filters_that_an_agent_configures_do_not_run(up: Repo, box: Sandbox) -> None:
    canary = box.scratch / "canary"
    git = check_out(up, box.scratch / "w")
    box.git("init", "-q", str(box.scratch / "w"))
    for name in ("up", "evil"):
        box.git("config", f"filter.{name}.clean", f"touch {canary}; cat", cwd=box.scratch / "w")
    box.write(
        {".gitattributes": "*.txt filter=up\n*.py filter=evil\n", "c.txt": "c\n", "c.py": "c\n"}, at=box.scratch / "w"
    )
    taken = take(up, git, box)
    assert (stored(up, taken, "c.txt"), stored(up, taken, "c.py")) == (b"C\n", b"c\n")
    assert not canary.exists()


def test_every_filter_runs_in_what_contains_it(up: Repo, box: Sandbox) -> None:
    ran = box.scratch / "ran"

    def wrap(argv: Sequence[str], folder: Path, mounts: Sequence[Mount]) -> list[str]:
        assert folder.is_dir()
        assert {*own("read", folder, up.common_dir)} <= {*mounts}
        return ["sh", "-c", f'echo "$@" >>{shlex.quote(str(ran))}; exec "$@"', "100% contained", *argv]

    up.contain(wrap)
    git = check_out(up, box.scratch / "w")
    assert len(ran.read_text().splitlines()) == 2
    box.write({"b b.txt": "other\n"}, at=box.scratch / "w")
    assert stored(up, take(up, git, box), "b b.txt") == b"OTHER\n"
    assert "tr a-z A-Z" in ran.read_text()


def test_a_file_whose_filter_fails_is_refused_and_saved_as_it_is(box: Sandbox, home: Path) -> None:
    configure(home, "filter.json.clean=python3 -m json.tool", "filter.json.smudge=cat")
    box.commit({".gitattributes": "*.json filter=json\n"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    box.write({"good.json": "[1]", "bad.json": "{", "x.py": "x\n"}, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"good.json": "A", "x.py": "A"}
    assert [one.path for one in taken.refused] == ["bad.json"]
    assert "json" in taken.refused[0].reason
    saved = take(repo, git, box, include_ignored=True)
    assert stored(repo, saved, "bad.json") == b"{"


def test_a_checkout_whose_filter_fails_is_an_error(box: Sandbox, home: Path) -> None:
    configure(home, "filter.gone.clean=cat", "filter.gone.smudge=no-such-program", "filter.gone.required=true")
    box.commit({".gitattributes": "*.txt filter=gone\n"})
    with pytest.raises(GitError, match="no-such-program"):
        check_out(Repo.open(box.root), box.scratch / "w")


IN_TREE = [
    "sh tools/up.sh",
    "./tools/up.sh",
    "'tools/up.sh'",
    'sh "$(git rev-parse --show-toplevel)/tools/up.sh"',
    "cat | tools/up.sh",
]


@pytest.mark.parametrize("command", IN_TREE)
def test_a_program_in_the_tree_is_the_users_own(box: Sandbox, command: str) -> None:
    root = box.scratch / "a b's"
    box.git("clone", "-q", str(box.root), str(root))
    box.git("config", "filter.up.clean", command, cwd=root)
    box.git("config", "filter.up.smudge", command.replace("up.sh", "down.sh"), cwd=root)
    tools = {"tools/up.sh": "#!/bin/sh\ntr a-z A-Z\n", "tools/down.sh": "#!/bin/sh\ntr A-Z a-z\n"}
    box.write({**tools, ".gitattributes": "*.txt filter=up\n", "b.txt": "b\n"}, at=root)
    for name in tools:
        (root / name).chmod(0o755)
    box.git("add", "-A", cwd=root)
    box.git("commit", "-qm", "filtered", cwd=root)
    repo = Repo.open(root)
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "b.txt").read_text() == "b\n", "it is written before the program is"
    box.write({"b.txt": "c\n", "tools/up.sh": "#!/bin/sh\necho of the agent\n"}, at=box.scratch / "w")
    assert stored(repo, take(repo, git, box), "b.txt") == b"C\n"
    assert problems(repo, repo.head_commit(), "main", "merge") == []


@pytest.mark.parametrize("name", ["a.b", "a=b", "ü", "q'q"])
def test_filters_of_any_name(box: Sandbox, name: str) -> None:
    box.git("config", f"filter.{name}.clean", "tr a-z A-Z")
    box.commit({".gitattributes": f"*.txt filter={name}\n"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    box.write({"b.txt": "c\n"}, at=box.scratch / "w")
    assert stored(repo, take(repo, git, box), "b.txt") == b"C\n"


def test_a_filter_and_line_ends_by_a_macro_in_a_folder(box: Sandbox) -> None:
    box.git("config", "filter.up.clean", "tr a-z A-Z")
    box.git("config", "filter.up.smudge", "tr A-Z a-z")
    attributes = {".gitattributes": "[attr]loud filter=up text eol=crlf\n", "sub/.gitattributes": "*.x loud\n"}
    box.commit({**attributes, "sub/b.x": "b\r\nc\r\n", "sub/empty.x": ""})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    rewrite(box.scratch / "w")
    assert (box.scratch / "w" / "sub" / "b.x").read_bytes() == b"b\r\nc\r\n"
    assert changes(repo, take(repo, git, box)) == {}
    box.write({"sub/b.x": "d\r\n"}, at=box.scratch / "w")
    assert stored(repo, take(repo, git, box), "sub/b.x") == b"D\n"


def lfs_repository(box: Sandbox, home: Path, **files: bytes) -> Repo:
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, cwd=home, capture_output=True)
    box.git("config", "filter.lfs.clean", "git-lfs clean -- %f")
    box.git("config", "filter.lfs.smudge", "git-lfs smudge -- %f")
    box.git("config", "filter.lfs.process", "git-lfs filter-process")
    box.git("config", "filter.lfs.required", "true")
    box.commit(
        {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", **{f"{k}.bin": v for k, v in files.items()}}
    )
    return Repo.open(box.root)


def lfs_objects(folder: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in (folder / "lfs" / "objects").rglob("*") if path.is_file())


@needs_lfs
def test_git_lfs_content_reaches_agents_and_comes_back_as_pointers(box: Sandbox, home: Path) -> None:
    repo = lfs_repository(box, home, a=b"first\0" * 1000, b=b"b" * 2000, empty=b"")
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_bytes() == b"first\0" * 1000
    rewrite(box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {}
    box.write({"a.bin": b"second\0" * 1000, "c.bin": b"third"}, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"a.bin": "M", "c.bin": "A"}
    assert stored(repo, taken, "a.bin").startswith(b"version https://git-lfs.github.com/spec/v1\noid sha256:")
    assert lfs_objects(repo.common_dir) == sorted([b"first\0" * 1000, b"b" * 2000, b"second\0" * 1000, b"third"])
    landed = repo.commit(taken.tree, [repo.head_commit()], "landed", 1)
    box.git("merge", "-q", "--ff-only", landed)
    assert (box.root / "a.bin").read_bytes() == b"second\0" * 1000
    box.git("lfs", "fsck")


@needs_lfs
def test_large_content_is_refused_unless_git_lfs_stores_it(box: Sandbox, home: Path) -> None:
    repo = lfs_repository(box, home, a=b"first")
    git = check_out(repo, box.scratch / "w")
    box.write({"a.bin": b"x" * 5000, "large.txt": b"x" * 5000}, at=box.scratch / "w")
    base = repo.tree_of(repo.head_commit())
    taken = snapshot(git, box.scratch / "w", base, scratch=box.scratch, max_file_bytes=1000)
    assert changes(repo, taken) == {"a.bin": "M"}
    assert [one.path for one in taken.refused] == ["large.txt"]


@needs_lfs
def test_what_an_inspector_refuses_does_not_reach_the_users_store(box: Sandbox, home: Path) -> None:
    repo = lfs_repository(box, home, a=b"first")
    git = check_out(repo, box.scratch / "w")
    box.write({"bad.bin": b"a secret\n" * 10, "good.bin": b"fine\n" * 10}, at=box.scratch / "w")
    seen: dict[str, bytes] = {}

    def inspect(intake: Intake) -> list[Refused]:
        for group in intake.groups():
            seen.update({one.path: data for one, data in group})
        return [Refused(path, "a secret") for path, data in seen.items() if b"secret" in data]

    base = repo.tree_of(repo.head_commit())
    taken = snapshot(git, box.scratch / "w", base, scratch=box.scratch, inspect=inspect)
    assert seen == {"bad.bin": b"a secret\n" * 10, "good.bin": b"fine\n" * 10}
    assert changes(repo, taken) == {"good.bin": "A"}
    assert lfs_objects(repo.common_dir) == [b"fine\n" * 10, b"first"]


@needs_lfs
def test_git_lfs_content_goes_to_the_store_that_the_user_has_chosen(box: Sandbox, home: Path) -> None:
    repo = lfs_repository(box, home)
    box.git("config", "lfs.storage", str(home / "store"))
    box.commit({"a.bin": b"first"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_bytes() == b"first"
    box.write({"a.bin": b"second"}, at=box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {"a.bin": "M"}
    kept = sorted(path.read_bytes() for path in (home / "store" / "objects").rglob("*") if path.is_file())
    assert kept == [b"first", b"second"]


@needs_lfs
def test_settings_that_a_sandbox_hides_from_git_lfs_count(box: Sandbox, home: Path) -> None:
    lfs_repository(box, home)
    configure(home, f"lfs.storage={home / 'store'}")
    box.git("config", "lfs.storage", str(home / "store"))
    box.commit({"a.bin": b"first"})
    box.git("config", "--unset", "lfs.storage")
    repo = Repo.open(box.root)
    (home / ".gitconfig").unlink()
    check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_bytes() == b"first"


@needs_lfs
def test_pointers_that_git_lfs_writes_differently_now_are_no_change(box: Sandbox, home: Path) -> None:
    repo = lfs_repository(box, home, a=b"first")
    old = stored(repo, take(repo, check_out(repo, box.scratch / "v"), box), "a.bin").replace(
        b"https://git-lfs.github.com/spec/v1", b"http://git-media.io/v/2"
    )
    tree = repo.edit_tree(repo.head_commit(), {"a.bin": ("100644", repo.write_blob(old))})
    box.git("reset", "-q", "--soft", repo.commit(tree, [repo.head_commit()], "old", 1))
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.bin").read_bytes() == b"first"
    rewrite(box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {}


@needs_crypt
def test_git_crypt_files_are_plain_for_agents_and_encrypted_in_git(box: Sandbox, home: Path) -> None:
    box.git("crypt", "init")
    box.commit({"before.key": "stored before it was to be encrypted\n"})
    box.commit({".gitattributes": "*.key filter=git-crypt diff=git-crypt\n", "a.key": "password\n"})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.key").read_text() == "password\n"
    rewrite(box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {}
    box.write({"a.key": "another\n"}, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"a.key": "M"}
    assert stored(repo, taken, "a.key").startswith(b"\0GITCRYPT\0")
    box.git("merge", "-q", "--ff-only", repo.commit(taken.tree, [repo.head_commit()], "landed", 1))
    assert (box.root / "a.key").read_text() == "another\n"


def test_objects_of_a_shared_repository_are_the_groups(box: Sandbox) -> None:
    shared = box.scratch / "shared"
    box.git("clone", "-q", "--config", "core.sharedRepository=group", str(box.root), str(shared))
    for folder in [shared / ".git", *(path for path in (shared / ".git").rglob("*") if path.is_dir())]:
        folder.chmod(0o2770)
        if os.geteuid() == 0:
            os.chown(folder, -1, 12345)
    objects = shared / ".git" / "objects"
    cloned = {path for path in objects.rglob("*") if path.is_file()}
    repo = Repo.open(shared)
    git = check_out(repo, box.scratch / "w")
    box.write({f"f{number}": f"{number}" for number in range(300)}, at=box.scratch / "w")
    old = os.umask(0o077)
    try:
        few = take(repo, git, replace(box, root=shared))
        for number in range(290):
            (box.scratch / "w" / f"f{number}").write_text("0")
        (box.scratch / "w" / "g").write_text("g")
        take(repo, git, replace(box, root=shared))
    finally:
        os.umask(old)
    assert changes(repo, few)
    for path in {*objects.rglob("*")} - cloned:
        found = path.stat()
        want = 0o2770 if path.is_dir() else 0o440
        assert stat.S_IMODE(found.st_mode) & 0o2770 == want, path
        assert found.st_gid == objects.stat().st_gid
