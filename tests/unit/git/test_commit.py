"""Trees of what an agent left, and commits that keep all of it."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.errors import GitError
from branchline.git.command import ObjectsGone
from branchline.git.commit import Snapshot, kept_from_gc, save, snapshot
from branchline.git.repo import Repo
from branchline.git.screen import Refused
from branchline.git.workspace import Workspaces
from unit.git.sandbox import Sandbox

REF = "refs/branchline/r/saved/a"


@pytest.fixture
def path(box: Sandbox, repo: Repo, workspaces: Workspaces) -> Path:
    """A workspace on its branch."""
    return workspaces.add(box.scratch / "a-1", repo.head_commit(), "feature/a-1")


def take(repo: Repo, workspaces: Workspaces, path: Path, scratch: Path, **limits: int | bool) -> Snapshot:
    base = repo.tree_of(repo.head_commit())
    return snapshot(workspaces.content(path), path, base, scratch=scratch, **limits)  # type: ignore[arg-type]


def changed(repo: Repo, taken: Snapshot) -> dict[str, str]:
    return {one.path: one.status for one in repo.changes(repo.tree_of(repo.head_commit()), taken.tree)}


def test_nothing_changed(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    assert take(repo, workspaces, path, box.scratch) == Snapshot(repo.tree_of(repo.head_commit()), ())


def test_every_kind_of_change_is_taken(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    odd = os.fsdecode(b'n\new "dir"/\xff\t\'')
    box.write({"a.txt": "x\n", odd: "odd", "src/b.py": None, "exe": "x", "back\\slash": "x", " ": "x"}, at=path)
    (path / "exe").chmod(0o755)
    (path / "link").unlink()
    (path / "link").symlink_to("src")
    taken = take(repo, workspaces, path, box.scratch)
    new = {odd: "A", "exe": "A", "back\\slash": "A", " ": "A"}
    assert changed(repo, taken) == {"a.txt": "M", "src/b.py": "D", "link": "M", **new}
    assert taken.refused == ()
    assert next(one.mode for one in repo.entries(taken.tree) if one.path == "exe") == "100755"


def test_files_and_folders_change_places(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({"a.txt": None, "a.txt/inner": "x", "src/b.py": None}, at=path)
    (path / "src").rmdir()
    (path / "src").write_text("file")
    taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {"a.txt": "D", "a.txt/inner": "A", "src": "A", "src/b.py": "D"}


def test_a_folder_replaced_by_a_link_is_not_followed(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    (box.scratch / "outside").mkdir()
    (box.scratch / "outside" / "b.py").write_text("b = 1\n")
    (path / "src" / "b.py").unlink()
    (path / "src").rmdir()
    (path / "src").symlink_to(box.scratch / "outside")
    taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {"src/b.py": "D"}
    assert taken.refused == (Refused("src", "it is a link to an absolute path"),)


def test_flags_in_the_index_hide_nothing(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.git("update-index", "--assume-unchanged", "a.txt", cwd=path)
    box.git("update-index", "--skip-worktree", "src/b.py", cwd=path)
    box.write({"a.txt": "hidden\n", "src/b.py": "hidden\n"}, at=path)
    assert box.git("status", "--porcelain", cwd=path) == ""
    assert changed(repo, take(repo, workspaces, path, box.scratch)) == {"a.txt": "M", "src/b.py": "M"}


def test_ignored_files_are_left_out_unless_asked_for(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({".gitignore": "cache/\n", "cache/x": "x", "y": "y"}, at=path)
    assert changed(repo, take(repo, workspaces, path, box.scratch)) == {".gitignore": "A", "y": "A"}
    everything = take(repo, workspaces, path, box.scratch, include_ignored=True)
    assert changed(repo, everything) == {".gitignore": "A", "cache/x": "A", "y": "A"}


def test_what_is_saved_has_a_size_in_all(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({".gitignore": "cache/\n", "cache/x": "x" * 600, "cache/y": "y" * 600, "z": "z"}, at=path)
    kept = take(repo, workspaces, path, box.scratch, include_ignored=True, max_saved_bytes=1000)
    assert set(changed(repo, kept)) == {".gitignore", "cache/x", "z"}
    assert [(one.path, one.reason) for one in kept.refused] == [
        ("cache/y", "with it, more would be saved than there is room for")
    ]
    assert take(repo, workspaces, path, box.scratch, max_saved_bytes=1).refused == (), "a batch has limits of its own"


HOSTILE = [
    ".Git/x",
    "GIT~1",
    "git~1/x",
    ".git /x",
    ".git.",
    ".g\u200cit/x",
    ".git::$INDEX_ALLOCATION",
    "sub/.GIT/config",
]


def test_hostile_names_are_refused_and_the_rest_is_taken(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({**dict.fromkeys(HOSTILE, "x"), "back\\.git\\x": "x", "good": "x"}, at=path)
    taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {"good": "A"}
    assert {one.path for one in taken.refused} == {*HOSTILE, "back\\.git\\x"}


def test_a_name_that_only_git_refuses_does_not_stop_the_rest(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    (path / ".gitmodules").symlink_to("a.txt")
    box.write({f"f{number}": "x" for number in range(20)}, at=path)
    taken = take(repo, workspaces, path, box.scratch)
    assert len(changed(repo, taken)) == 20
    assert [one.path for one in taken.refused] == [".gitmodules"]


def test_links_may_not_leave_the_tree(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    links = {
        "absolute": "/etc/passwd",
        "up": "../../x",
        "deep/up": "../../x",
        "pointer": ".git",
        "round": "src/../../x",
        "deep/top": "..",
        "deep/chain": "top/../x",
        "deep/fine": "../a.txt",
        "dangling": "nowhere",
        "loop": "loop",
    }
    (path / "deep").mkdir()
    for name, target in links.items():
        (path / name).symlink_to(target)
    taken = take(repo, workspaces, path, box.scratch)
    assert set(changed(repo, taken)) == {"deep/top", "deep/fine", "dangling", "loop"}
    assert len(taken.refused) == 6
    kept = take(repo, workspaces, path, box.scratch, include_ignored=True)
    assert set(changed(repo, kept)) == set(links)


def test_pipes_and_sockets_are_never_opened(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    (path / "a.txt").unlink()
    os.mkfifo(path / "a.txt")
    os.mkfifo(path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(path)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {}
    assert taken.refused == (Refused("a.txt", "it is a device, a pipe or a socket"),)


def test_a_huge_file_is_refused_without_reading_it(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    for name in ("huge", "a.txt"):
        with open(path / name, "r+b" if name == "a.txt" else "wb") as file:
            file.truncate(1 << 40)
    taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {}
    assert [one.path for one in taken.refused] == ["a.txt", "huge"]
    assert "1099511627776 bytes" in taken.refused[0].reason


def test_a_file_that_was_large_before_is_no_reason(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    (path / "a.txt").write_text("ONE\ntwo\nthree\n")
    taken = take(repo, workspaces, path, box.scratch, max_file_bytes=10)
    assert changed(repo, taken) == {"a.txt": "M"}


def test_too_many_files(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({f"f{number}": "x" for number in range(9)}, at=path)
    taken = take(repo, workspaces, path, box.scratch, max_files=5)
    assert len(changed(repo, taken)) == 5
    assert taken.refused == (Refused("", "4 files past the first 5"),)


def test_a_nested_repository_is_refused_but_its_files_can_be_saved(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    for place in (path / "nested", path / "src"):
        box.git("init", "-q", str(place))
    box.write({"nested/x": "x", "nested/deep/y": "y", "src/new": "n"}, at=path)
    box.git("add", "-A", cwd=path / "nested")
    box.git("commit", "-q", "-m", "inner", cwd=path / "nested")
    taken = take(repo, workspaces, path, box.scratch)
    assert changed(repo, taken) == {"src/new": "A"}
    assert [one.path for one in taken.refused] == ["nested", "src/.git"]
    kept = take(repo, workspaces, path, box.scratch, include_ignored=True)
    assert changed(repo, kept) == {"nested/x": "A", "nested/deep/y": "A", "src/new": "A"}
    assert [one.path for one in kept.refused] == ["nested/.git", "src/.git"]
    assert all(one.kind == "blob" for one in repo.entries(kept.tree))


def test_a_repository_without_files_is_named_when_it_is_saved(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({".gitignore": "cache/\n"}, at=path)
    for place in ("cache", "bare", "bare/within"):
        box.git("init", "-q", str(path / place))
        box.git("commit", "-q", "--allow-empty", "-m", "history", cwd=path / place)
    kept = take(repo, workspaces, path, box.scratch, include_ignored=True)
    assert [one.path for one in kept.refused] == ["bare/.git", "bare/within/.git", "cache/.git"]


def test_a_submodule_of_the_base_stays(box: Sandbox, repo: Repo, workspaces: Workspaces) -> None:
    base = repo.edit_tree(repo.head_commit(), {"sub": ("160000", repo.head_commit())})
    commit = repo.commit(base, [repo.head_commit()], "sub", 0)
    path = workspaces.add(box.scratch / "s-1", commit)

    def taken() -> Snapshot:
        return snapshot(workspaces.content(path), path, base, scratch=box.scratch)

    assert taken() == Snapshot(base, ())
    (path / "sub").rmdir()
    assert taken() == Snapshot(base, ())
    (path / "sub").write_text("now a file")
    assert taken() == Snapshot(base, (Refused("sub", "it replaces a submodule"),))


def test_line_endings_are_stored_as_the_attributes_say(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path
) -> None:
    box.write({".gitattributes": "*.txt text eol=crlf\n", "a.txt": "one\r\ntwo\r\nthree\r\n"}, at=path)
    assert changed(repo, take(repo, workspaces, path, box.scratch)) == {".gitattributes": "A"}


def test_the_index_of_the_workspace_is_left_alone(box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path) -> None:
    box.write({"a.txt": "x", "new": "n"}, at=path)
    index = path / ".git" / "index"
    before = index.read_bytes()
    take(repo, workspaces, path, box.scratch)
    assert index.read_bytes() == before
    assert list(box.scratch.glob("index-*")) == []


def test_save_keeps_files_and_commits(box: Sandbox, repo: Repo, path: Path) -> None:
    base = repo.head_commit()
    own = repo.commit(repo.tree_of(base), [base], "own", 1)
    box.write({".gitignore": "*\n", "secret.log": "all of it"}, at=path)
    saved = save(repo, path, ref=REF, parents=(base, own), when=7, scratch=box.scratch)
    assert saved.ref == REF
    assert repo.read_ref(REF) == saved.commit
    assert repo.parents(saved.commit) == (base, own)
    assert {"secret.log", ".gitignore"} <= {one.path for one in repo.entries(saved.commit)}


def test_save_never_overwrites(box: Sandbox, repo: Repo, path: Path) -> None:
    base = repo.head_commit()

    def keep(when: int, *own: str) -> str:
        return save(repo, path, ref=REF, parents=(base, *own), when=when, scratch=box.scratch).ref

    assert [keep(1), keep(2)] == [REF, REF]
    (path / "new").write_text("x")
    assert [keep(3), keep(4)] == [f"{REF}-2", f"{REF}-2"]
    (path / "new").write_text("y")
    assert keep(5) == f"{REF}-3"
    (path / "new").unlink()
    assert keep(6) == REF
    assert keep(7, repo.commit(repo.tree_of(base), [base], "own", 1)) == f"{REF}-4"


@pytest.mark.parametrize("replaced", [False, True], ids=["gone", "a-link"])
def test_a_workspace_whose_folder_is_gone(
    box: Sandbox, repo: Repo, workspaces: Workspaces, path: Path, *, replaced: bool
) -> None:
    path.rename(box.scratch / "moved")
    if replaced:
        path.symlink_to(box.scratch)
    with pytest.raises(GitError, match="no folder"):
        take(repo, workspaces, path, box.scratch)
    with pytest.raises(GitError, match="no folder"):
        save(repo, path, ref=REF, parents=[repo.head_commit()], when=1, scratch=box.scratch)
    assert repo.read_ref(REF) is None


LOCKED = """
import os, sys
from pathlib import Path
from branchline.git.commit import save
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
os.setgroups([]); os.setgid(65534); os.setuid(65534)
root, scratch = map(Path, sys.argv[1:])
repo = Repo.open(root)
head = repo.head_commit()
workspaces = Workspaces(repo, scratch / "home", base=head, target="main")
path = workspaces.add(scratch / "b-1", head, "feature/b-1")
(path / "cache").mkdir()
(path / "cache" / "module").write_text("m")
(path / "unreadable").write_text("u")
(path / "unreadable").chmod(0)
(path / "cache").chmod(0)
(path / ".git" / "objects").chmod(0)
path.chmod(0)
saved = save(repo, path, ref="refs/branchline/r/saved/b", parents=[head], when=1, scratch=scratch)
print([entry.path for entry in repo.entries(saved.commit)])
(path / "cache").chmod(0o500)
path.chmod(0o500)
workspaces.reset(path, head, head=head)
(path / "cache").mkdir()
(path / "cache" / "module").write_text("m")
(path / "cache").chmod(0)
path.chmod(0)
workspaces.remove(path)
print(path.exists())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody whom permissions bind")
def test_folders_that_an_agent_locked_are_saved_and_removed(box: Sandbox) -> None:
    for place in (box.root.parent, *box.root.parent.rglob("*")):
        os.chown(place, 65534, 65534, follow_symlinks=False)
    for above in (box.root.parent, *box.root.parent.parents[:3]):
        above.chmod(stat.S_IMODE(above.stat().st_mode) | 0o055)
    done = subprocess.run([sys.executable, "-c", LOCKED, box.root, box.scratch], capture_output=True, check=False)
    assert done.stderr.decode() == ""
    assert done.stdout.decode().splitlines() == ["['a.txt', 'cache/module', 'link', 'src/b.py', 'unreadable']", "False"]


def test_objects_that_a_gc_of_the_users_takes_before_a_ref_names_them_are_made_again(box: Sandbox, repo: Repo) -> None:
    made: list[str] = []

    def make() -> str:
        tree = repo.edit_tree(repo.tree_of(repo.head_commit()), {"new.txt": ("100644", repo.write_blob(b"new\n"))})
        if not made:
            box.git("gc", "--quiet", "--prune=now")
        made.append(tree)
        return repo.commit(repo.tree_of(tree), [repo.head_commit()], "kept\n", 0)

    assert box.git("cat-file", "-t", kept_from_gc(make)()).strip() == "commit"
    assert len(made) == 2
    with pytest.raises(ObjectsGone):
        kept_from_gc(repo.tree_of)("1" * 40)
