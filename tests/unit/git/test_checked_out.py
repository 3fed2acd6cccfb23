"""A file whose bytes are as they were checked out is no change, whatever git would store for it now."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox
from unit.git.users import changes, check_out, configure, rewrite, stored, take

CRLF = "one\r\ntwo\r\n"
Prepare = Callable[[Sandbox, Path], None]


def attributes_after_the_file(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": CRLF})
    box.commit({".gitattributes": "*.txt text\n"})


def auto_attributes_after_the_file(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": CRLF})
    box.commit({".gitattributes": "* text=auto\n"})


def global_autocrlf(_box: Sandbox, home: Path) -> None:
    configure(home, "core.autocrlf=true")


def global_autocrlf_and_crlf_in_the_repository(box: Sandbox, home: Path) -> None:
    box.commit({"a.txt": CRLF, "mixed.txt": "one\r\ntwo\n"})
    configure(home, "core.autocrlf=true")


def input_and_crlf_in_the_repository(box: Sandbox, home: Path) -> None:
    box.commit({"a.txt": CRLF, "mixed.txt": "one\r\ntwo\n"})
    configure(home, "core.autocrlf=input", "core.safecrlf=true")


def mixed_line_ends_that_become_one(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": "one\r\ntwo\nthree\r\n"})
    box.commit({".gitattributes": "*.txt eol=crlf\n"})


def an_end_of_lines_by_the_users_attributes(box: Sandbox, home: Path) -> None:
    configure(home, f"core.attributesFile={home / 'attributes'}")
    (home / "attributes").write_text("*.txt text eol=crlf\n")
    box.commit({"a.txt": "one\r\ntwo\n"})


def an_end_of_lines_by_the_repositorys_own_attributes(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": "one\r\ntwo\n"})
    (box.root / ".git" / "info" / "attributes").write_text("*.txt text eol=crlf\n")


def an_included_setting(box: Sandbox, home: Path) -> None:
    box.commit({"a.txt": "one\r\ntwo\n", ".gitattributes": "*.txt text\n"})
    (home / "work").write_text("[core]\n\teol = crlf\n")
    configure(home, f"includeIf.gitdir:{box.root}/.path={home / 'work'}")


def a_keyword(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": "$Id$\n", ".gitattributes": "*.txt ident\n"})


def another_encoding(box: Sandbox, _home: Path) -> None:
    box.commit({"a.txt": "ä\n".encode("utf-16"), ".gitattributes": "*.txt working-tree-encoding=UTF-16\n"})


def a_filter_after_the_file(box: Sandbox, home: Path) -> None:
    box.commit({"a.txt": "Mixed Case\n"})
    configure(home, "filter.up.clean=tr a-z A-Z", "filter.up.smudge=tr A-Z a-z", "filter.up.required=true")
    box.commit({".gitattributes": "*.txt filter=up\n"})


def a_filter_that_never_stores_the_same_twice(box: Sandbox, home: Path) -> None:
    configure(home, "filter.salt.clean=date +%%s%%N && cat", "filter.salt.smudge=tail -n +2")
    box.commit({"a.txt": "salt\nplain\n"})
    box.commit({".gitattributes": "*.txt filter=salt\n"})


def a_filter_in_one_direction(box: Sandbox, home: Path) -> None:
    configure(home, "filter.down.smudge=tr A-Z a-z")
    box.commit({"a.txt": "LOUD\n", ".gitattributes": "*.txt filter=down\n"})


def modes_that_do_not_count(box: Sandbox, _home: Path) -> None:
    box.write({"b.sh": "x\n"})
    (box.root / "b.sh").chmod(0o755)
    box.commit({})
    box.git("config", "core.fileMode", "false")


def links_as_files(box: Sandbox, _home: Path) -> None:
    box.git("config", "core.symlinks", "false")


ODD = [
    value for name, value in list(globals().items()) if callable(value) and getattr(value, "__module__", "") == __name__
]


@pytest.mark.parametrize("prepare", ODD, ids=lambda one: one.__name__)
def test_files_that_nobody_changed_are_not_in_a_batch(prepare: Prepare, box: Sandbox, home: Path) -> None:
    prepare(box, home)
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    (box.scratch / "w" / "new.py").write_text("x = 1\n")
    assert changes(repo, take(repo, git, box)) == {"new.py": "A"}
    rewrite(box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {"new.py": "A"}
    assert taken.refused == ()
    assert changes(repo, take(repo, git, box, include_ignored=True)) == {"new.py": "A"}


@pytest.mark.parametrize("prepare", ODD, ids=lambda one: one.__name__)
def test_a_work_tree_is_what_the_users_git_checks_out(prepare: Prepare, box: Sandbox, home: Path) -> None:
    prepare(box, home)
    check_out(Repo.open(box.root), box.scratch / "w")
    shutil.rmtree(box.scratch / "theirs", ignore_errors=True)
    theirs = box.scratch / "theirs"
    theirs.mkdir()
    Repo.open(box.root).user.call(f"--work-tree={theirs}", "checkout", "-f", "HEAD", "--", ".")
    ours = {p.relative_to(box.scratch / "w"): p.read_bytes() for p in (box.scratch / "w").rglob("*") if p.is_file()}
    assert ours == {p.relative_to(theirs): p.read_bytes() for p in theirs.rglob("*") if p.is_file()}


def test_a_changed_file_is_stored_as_the_users_git_stores_it(box: Sandbox, home: Path) -> None:
    configure(home, "core.autocrlf=true")
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    assert (box.scratch / "w" / "a.txt").read_bytes() == b"one\r\ntwo\r\nthree\r\n"
    (box.scratch / "w" / "a.txt").write_bytes(b"one\r\n2\r\n")
    assert stored(repo, take(repo, git, box), "a.txt") == b"one\n2\n"


def test_only_the_mode_of_a_file_changes(box: Sandbox, home: Path) -> None:
    attributes_after_the_file(box, home)
    mixed_line_ends_that_become_one(box, home)
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    (box.scratch / "w" / "a.txt").chmod(0o755)
    taken = take(repo, git, box)
    (change,) = repo.changes(repo.tree_of(repo.head_commit()), taken.tree)
    assert (change.path, change.new_mode, change.new_oid) == ("a.txt", "100755", change.old_oid)


def test_attributes_that_an_agent_adds_change_no_other_file(box: Sandbox) -> None:
    box.commit({"a.txt": CRLF, "c.txt": CRLF})
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    box.write({".gitattributes": "* text\n", "c.txt": "new\r\n"}, at=box.scratch / "w")
    taken = take(repo, git, box)
    assert changes(repo, taken) == {".gitattributes": "A", "c.txt": "M"}
    assert stored(repo, taken, "c.txt") == b"new\n"


def test_a_link_checked_out_as_a_file_stays_a_link(box: Sandbox) -> None:
    box.git("config", "core.symlinks", "false")
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    (box.scratch / "w" / "link").write_text("src/b.py")
    taken = take(repo, git, box)
    (change,) = repo.changes(repo.tree_of(repo.head_commit()), taken.tree)
    assert (change.new_mode, repo.read_blob(change.new_oid)) == ("120000", b"src/b.py")
    (box.scratch / "w" / "link").write_text("/etc/passwd")
    assert [one.reason for one in take(repo, git, box).refused] == ["it is a link to an absolute path"]


@pytest.mark.parametrize(
    "patterns", [["--cone", "src"], ["--no-cone", "/src/", "!/src/b.py", "*.md"], ["--no-cone", "x/**/y"]]
)
def test_what_a_sparse_checkout_leaves_out_is_not_deleted(patterns: list[str], box: Sandbox) -> None:
    box.commit({"src/c.py": "c\n", "docs/a.md": "a\n", "docs/b.txt": "b\n", "x/1/y": "1", "x/y/z": "2", "odd\n": "3"})
    box.git("sparse-checkout", "set", *patterns)
    repo = Repo.open(box.root)
    git = check_out(repo, box.scratch / "w")
    theirs = {line[2:] for line in box.git("ls-files", "-z", "-t").split("\0") if line.startswith("H")}
    ours = {p.relative_to(box.scratch / "w").as_posix() for p in (box.scratch / "w").rglob("*") if not p.is_dir()}
    assert ours == theirs
    assert changes(repo, take(repo, git, box)) == {}
    gone = next(iter(sorted(theirs)))
    (box.scratch / "w" / gone).unlink()
    box.write({"docs/b.txt": "changed\n"}, at=box.scratch / "w")
    assert changes(repo, take(repo, git, box)) == {gone: "D", "docs/b.txt": "M"}
