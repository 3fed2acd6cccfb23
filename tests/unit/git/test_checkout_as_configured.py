"""The user's checkout is judged and moved as the user's git would: by its settings, filters, patterns and index."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.git.landing.checkout import CheckoutDirty, fast_forward, is_dirty
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox
from unit.git.users import configure, needs_crypt, needs_lfs


def git(box: Sandbox, *args: str, cwd: Path | None = None) -> str:
    """Run git with the user's global configuration."""
    who = {f"GIT_{role}_{part}": "u@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", *args], cwd=cwd or box.root, env={**os.environ, **who}, capture_output=True, check=True
    )
    return os.fsdecode(done.stdout)


def global_autocrlf(box: Sandbox, home: Path) -> None:
    configure(home, "core.autocrlf=true")
    git(box, "rm", "-q", "--cached", "-r", ".")
    git(box, "reset", "-q", "--hard")


def attributes_after_the_file(box: Sandbox, _home: Path) -> None:
    box.commit({"crlf.txt": "a\r\n", "untouched.txt": "a\r\n"})
    (box.root / ".git" / "info" / "attributes").write_text("*.txt text\n")
    for name in ("a.txt", "crlf.txt", "untouched.txt"):
        (box.root / name).touch()  # git looks at its content now, and calls it modified


def a_filter(box: Sandbox, home: Path) -> None:
    configure(home, "filter.up.clean=tr a-z A-Z", "filter.up.smudge=tr A-Z a-z")
    box.write({".gitattributes": "*.txt filter=up\n", "other.txt": "other\n"})
    git(box, "add", "-A", "--renormalize", ".")
    git(box, "add", "-A")
    git(box, "commit", "-qm", "filtered")


def lfs(box: Sandbox, home: Path) -> None:
    git(box, "lfs", "install", "--skip-repo")
    box.write({".gitattributes": "*.txt filter=lfs diff=lfs merge=lfs -text\n", "other.txt": "other\n"})
    git(box, "add", "-A", "--renormalize", ".")
    git(box, "add", "-A")
    git(box, "commit", "-qm", "large files")


def crypt(box: Sandbox, _home: Path) -> None:
    git(box, "crypt", "init")
    box.write({".gitattributes": "*.txt filter=git-crypt\n"})
    git(box, "add", "-A", "--renormalize", ".")
    git(box, "add", "-A")
    git(box, "commit", "-qm", "encrypted")


def cone(box: Sandbox, _home: Path) -> None:
    box.commit({"hidden/a": "a\n", "hidden/b": "b\n"})
    box.git("sparse-checkout", "set", "src")


def sparse_index(box: Sandbox, _home: Path) -> None:
    box.commit({"hidden/a": "a\n", "hidden/b": "b\n"})
    box.git("sparse-checkout", "set", "--cone", "--sparse-index", "src")


def split_index(box: Sandbox, _home: Path) -> None:
    box.git("config", "core.splitIndex", "true")
    box.git("update-index", "--split-index")
    box.write({"c": "c\n"})
    box.git("add", "c")
    box.git("commit", "-qm", "c")


def untracked_cache(box: Sandbox, _home: Path) -> None:
    box.git("config", "core.untrackedCache", "true")
    box.git("status")


def modes_that_do_not_count(box: Sandbox, _home: Path) -> None:
    box.git("config", "core.fileMode", "false")
    (box.root / "a.txt").chmod(0o755)


KINDS = [
    global_autocrlf,
    attributes_after_the_file,
    a_filter,
    pytest.param(lfs, marks=needs_lfs),
    pytest.param(crypt, marks=needs_crypt),
    cone,
    sparse_index,
    split_index,
    untracked_cache,
    modes_that_do_not_count,
]


@pytest.fixture(params=KINDS, ids=lambda one: one.__name__)
def tips(request: pytest.FixtureRequest, box: Sandbox, home: Path) -> tuple[str, str]:
    """The commit of main, and a descendant, made beside it, that changes, adds and deletes."""
    prepare: Callable[[Sandbox, Path], None] = request.param
    prepare(box, home)
    old, where = git(box, "rev-parse", "HEAD").strip(), box.root
    files: dict[str, str | bytes | None] = {
        "a.txt": "new\n",
        "crlf.txt": "c\n",
        "new.txt": "new\n",
        "src/b.py": "b = 2\n",
    }
    if "hidden/a" in git(box, "ls-tree", "-r", "--name-only", "HEAD"):
        where = box.scratch / "all"
        git(box, "worktree", "add", "-q", "--detach", str(where))
        git(box, "sparse-checkout", "disable", cwd=where)
        files |= {"hidden/a": "new\n", "hidden/c": "c\n", "hidden/b": None}
    git(box, "checkout", "-q", "--detach", cwd=where)
    box.write(files, at=where)
    git(box, "add", "-A", cwd=where)
    git(box, "commit", "-qm", "new", cwd=where)
    new = git(box, "rev-parse", "HEAD", cwd=where).strip()
    git(box, "checkout", "-q", "main")
    return old, new


def text(path: Path) -> str:
    return path.read_bytes().replace(b"\r\n", b"\n").decode()


def test_a_checkout_that_is_clean_for_the_user_moves(box: Sandbox, tips: tuple[str, str]) -> None:
    (box.root / "src" / "b.py").touch()
    before = git(box, "ls-files", "-t")
    noise = " M untouched.txt\n" if (box.root / "untouched.txt").exists() else ""
    repo = Repo.open(box.root)
    assert is_dirty(repo) == bool(noise)
    fast_forward(repo, box.root, "main", *tips)
    assert repo.head_commit() == tips[1]
    assert git(box, "status", "--porcelain") in ("", noise)
    assert (text(box.root / "a.txt"), text(box.root / "new.txt")) == ("new\n", "new\n")
    assert (box.root / "hidden").exists() == ("H hidden/" in before)


def test_a_kill_in_the_middle_is_finished(box: Sandbox, tips: tuple[str, str]) -> None:
    (box.root / ".git" / "index.lock").write_text(f"branchline fast-forward {tips[0]} {tips[1]}\n")
    box.git("update-ref", "refs/heads/main", tips[1])
    (box.root / "new.txt").write_text("ne")
    (box.root / "src" / "b.py").unlink()
    fast_forward(Repo.open(box.root), box.root, "main", *tips)
    assert git(box, "status", "--porcelain") in ("", " M untouched.txt\n")
    assert text(box.root / "new.txt") == "new\n"


def test_an_edit_of_the_user_is_in_the_way(box: Sandbox, tips: tuple[str, str]) -> None:
    (box.root / "a.txt").write_text("mine\n")
    repo = Repo.open(box.root)
    assert is_dirty(repo)
    with pytest.raises(CheckoutDirty, match=r"a\.txt is changed"):
        fast_forward(repo, box.root, "main", *tips)
    assert (box.root / "a.txt").read_text() == "mine\n"
    assert repo.head_commit() == tips[0]


def test_a_linked_worktree_has_settings_of_its_own(box: Sandbox, home: Path) -> None:
    old = box.commit({"hidden/a": "a\n"})
    new = box.branch_with({"hidden/a": "new\n", "hidden/b": "b\n", "src/b.py": "b = 2\n"})
    side = box.scratch / "side"
    box.git("checkout", "-q", "--detach")
    box.git("worktree", "add", "-q", str(side), "main")
    box.git("sparse-checkout", "set", "src", cwd=side)
    (home / "crlf").write_text("[core]\n\tautocrlf = true\n")
    configure(home, f"includeIf.gitdir:**/worktrees/side.path={home / 'crlf'}")
    git(box, "rm", "-q", "--cached", "-r", ".", cwd=side)
    git(box, "reset", "-q", "--hard", cwd=side)
    assert (side / "src" / "b.py").read_bytes() == b"b = 1\r\n"
    fast_forward(Repo.open(box.root), side, "main", old, new)
    assert (side / "src" / "b.py").read_bytes() == b"b = 2\r\n"
    assert not (side / "hidden").exists()
    assert git(box, "status", "--porcelain", cwd=side) == ""
