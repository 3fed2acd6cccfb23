"""Which files a tree has, on disk and in the object store."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from branchline.context.index.scan import CACHES, Tree, blob_id, tree_of, work_tree
from branchline.errors import GitError, InvalidInput
from branchline.git.repo import NotARepository, Repo
from unit.git.sandbox import Sandbox


def paths(tree: Tree) -> list[str]:
    return [file.path for file in tree.files]


def contents(tree: Tree) -> dict[str, bytes | None]:
    return {file.path: data for file, data in tree.read(tree.files)}


def oids(tree: Tree) -> dict[str, str]:
    return {file.path: file.oid for file in tree.files}


def test_a_clean_checkout_is_the_tree_of_its_commit(box: Sandbox) -> None:
    tree, stored = work_tree(box.root), tree_of(Repo.open(box.root), box.git("rev-parse", "HEAD").strip())
    assert paths(tree) == ["a.txt", "src/b.py"]
    assert tree.skipped == (("link", "link"),)
    assert (tree.commit, tree.time) == (stored.commit, stored.time)
    assert tree.time == int(box.git("log", "-1", "--format=%ct"))
    assert (oids(tree), tree.fingerprint, tree.skipped) == (oids(stored), stored.fingerprint, stored.skipped)
    assert contents(tree) == contents(stored) == {"a.txt": b"one\n", "src/b.py": b"b = 1\n"}


def test_what_is_changed_is_as_on_disk(box: Sandbox) -> None:
    before = work_tree(box.root).fingerprint
    box.write({"a.txt": "two\n", "new.txt": "new\n", "src/b.py": None, "staged.txt": "one\n"})
    box.git("add", "staged.txt")
    box.write({"staged.txt": "two\n"})
    tree = work_tree(box.root)
    assert contents(tree) == {"a.txt": b"two\n", "new.txt": b"new\n", "staged.txt": b"two\n"}
    assert tree.skipped == (("link", "link"),)
    assert oids(tree)["new.txt"] == box.git("hash-object", "new.txt").strip()
    assert tree.fingerprint != before


def test_a_change_that_keeps_size_and_time_is_seen(box: Sandbox) -> None:
    index, file = box.root / ".git" / "index", box.root / "a.txt"
    moment = file.stat().st_mtime_ns
    os.utime(index, ns=(moment, moment))
    file.write_text("two\n")
    os.utime(file, ns=(moment, moment))
    assert contents(work_tree(box.root))["a.txt"] == b"two\n"


def test_ignored_files_and_caches_are_left_out(box: Sandbox) -> None:
    box.write({".gitignore": "*.log\n", "x.log": "x", "node_modules/p/i.js": "x", "src/__pycache__/b.pyc": "x"})
    box.write({".runs/1/prompt.md": "x"})
    assert paths(work_tree(box.root)) == [".gitignore", "a.txt", "src/b.py"]
    box.git("add", "-f", "node_modules")
    assert "node_modules/p/i.js" in paths(work_tree(box.root))
    assert "node_modules" in CACHES


def test_the_index_is_never_written(box: Sandbox) -> None:
    index = box.root / ".git" / "index"
    os.utime(box.root / "a.txt", (1, 1))
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    contents(work_tree(box.root))
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
    assert [path.name for path in (box.root / ".git").glob("*.lock")] == []


def test_a_folder_inside_a_repository(box: Sandbox) -> None:
    box.commit({"src/deep/c.py": "c = 1\n", "src[x]/d.py": "d = 1\n", ":!src/e.py": "e = 1\n"})
    box.write({"src/new.py": "n = 1\n"})
    tree = work_tree(box.root / "src")
    assert contents(tree) == {"b.py": b"b = 1\n", "deep/c.py": b"c = 1\n", "new.py": b"n = 1\n"}
    assert tree.commit == box.git("rev-parse", "HEAD").strip()
    assert paths(work_tree(box.root / "src[x]")) == ["d.py"]
    assert paths(work_tree(box.root / ":!src")) == ["e.py"]


def test_a_folder_that_the_repository_ignores(box: Sandbox) -> None:
    box.write({".gitignore": "out/\n", "out/x.txt": "x\n"})
    tree = work_tree(box.root / "out")
    assert (contents(tree), tree.commit) == ({"x.txt": b"x\n"}, "")


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert paths(work_tree(tmp_path)) == []
    (tmp_path / "a.txt").write_text("a\n")
    tree = work_tree(tmp_path)
    assert (contents(tree), tree.commit, tree.time) == ({"a.txt": b"a\n"}, "", 0)


def test_names_of_any_bytes(box: Sandbox) -> None:
    odd = ["new\nline", 'quote"', "tab\there", " space ", "-dash", os.fsdecode(b"\xff\xfe"), "ümlaut"]
    box.write(dict.fromkeys(odd, "x\n"))
    assert set(odd) < set(paths(work_tree(box.root)))
    commit = box.commit({})
    assert set(odd) < set(paths(work_tree(box.root)))
    assert set(odd) < set(contents(tree_of(Repo.open(box.root), commit)))


def test_links_are_never_followed(box: Sandbox) -> None:
    secret = box.scratch / "secret"
    secret.mkdir()
    (secret / "b.py").write_text("b = 1\n")
    (box.root / "src" / "b.py").unlink()
    (box.root / "src").rmdir()
    (box.root / "src").symlink_to(secret)
    (box.root / "loop").symlink_to(".")
    (box.root / "a.txt").unlink()
    (box.root / "a.txt").symlink_to(secret / "b.py")
    tree = work_tree(box.root)
    assert paths(tree) == []
    assert dict(tree.skipped) == dict.fromkeys(("a.txt", "link", "loop", "src", "src/b.py"), "link")


def test_a_file_that_becomes_something_else(box: Sandbox) -> None:
    (box.root / "a.txt").unlink()
    (box.root / "a.txt").mkdir()
    box.write({"a.txt/inner": "x\n"})
    (box.root / "src" / "b.py").unlink()
    os.mkfifo(box.root / "src" / "b.py")
    (box.root / "link").unlink()
    box.write({"link": "a file now\n"})
    tree = work_tree(box.root)
    assert contents(tree) == {"a.txt/inner": b"x\n", "link": b"a file now\n"}
    assert ("src/b.py", "special") in tree.skipped


def test_submodules_are_skipped(box: Sandbox) -> None:
    other = box.scratch / "other"
    box.git("clone", "-q", str(box.root), str(other))
    box.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(other), "sub")
    box.git("clone", "-q", str(other), str(box.root / "nested"))
    commit = box.git("commit-tree", "-m", "x", box.git("write-tree").strip()).strip()
    tree = work_tree(box.root)
    assert dict(tree.skipped) == {"link": "link", "nested/": "submodule", "sub": "submodule"}
    assert paths(tree) == [".gitmodules", "a.txt", "src/b.py"]
    assert ("sub", "submodule") in tree_of(Repo.open(box.root), commit).skipped
    assert paths(work_tree(box.root / "sub")) == ["a.txt", "src/b.py"]


@pytest.mark.parametrize("sparse_index", ["--sparse-index", "--no-sparse-index"])
def test_a_sparse_checkout(box: Sandbox, sparse_index: str) -> None:
    box.commit({"docs/d.txt": "d\n", "docs/e.txt": "e\n"})
    box.git("sparse-checkout", "set", "--cone", sparse_index, "src")
    tree = work_tree(box.root)
    assert paths(tree) == ["a.txt", "src/b.py"]
    assert set(tree.skipped) == {("docs/d.txt", "not_checked_out"), ("docs/e.txt", "not_checked_out"), ("link", "link")}
    box.write({"docs/d.txt": "mine\n"})
    assert contents(work_tree(box.root))["docs/d.txt"] == b"mine\n"


def test_a_split_index(box: Sandbox) -> None:
    os.utime(box.root / "a.txt", (1, 1))
    box.git("update-index", "--refresh")
    box.git("update-index", "--split-index")
    box.write({"c.txt": "c\n"})
    box.git("add", "c.txt")
    assert list((box.root / ".git").glob("sharedindex.*"))
    tree = work_tree(box.root)
    assert (paths(tree), tree.commit != "") == (["a.txt", "c.txt", "src/b.py"], True)


def test_a_conflict_is_as_on_disk(box: Sandbox) -> None:
    other = box.branch_with({"a.txt": "theirs\n"})
    box.commit({"a.txt": "ours\n"})
    with pytest.raises(subprocess.CalledProcessError):
        box.git("merge", "-q", other)
    data = contents(work_tree(box.root))["a.txt"]
    assert data is not None
    assert data.startswith(b"<<<<<<<")


def test_a_linked_work_tree(box: Sandbox) -> None:
    side = box.scratch / "side"
    box.git("worktree", "add", "-q", "-b", "side", str(side))
    (side / "side.txt").write_text("s\n")
    tree = work_tree(side)
    assert paths(tree) == ["a.txt", "side.txt", "src/b.py"]
    assert oids(work_tree(box.root)).items() < oids(tree).items()


def test_what_a_filter_made_is_read_as_it_is_stored(box: Sandbox) -> None:
    box.commit({".gitattributes": "*.bat text eol=crlf\n", "x.bat": "one\r\ntwo\r\n"})
    (box.root / "x.bat").unlink()
    box.git("checkout", "x.bat")
    assert (box.root / "x.bat").read_bytes() == b"one\r\ntwo\r\n"
    tree = work_tree(box.root)
    assert contents(tree)["x.bat"] == b"one\ntwo\n"
    assert oids(tree)["x.bat"] == blob_id(b"one\ntwo\n")


def test_a_configured_filter_is_not_run(box: Sandbox) -> None:
    box.commit({".gitattributes": "a.txt filter=evil\n"})
    box.git("config", "filter.evil.clean", f"touch {box.scratch}/ran; cat")
    box.write({"a.txt": "two\n"})
    assert contents(work_tree(box.root))["a.txt"] == b"two\n"
    assert not (box.scratch / "ran").exists()


def test_what_changes_after_it_was_listed_is_read_as_listed(box: Sandbox) -> None:
    box.write({"new.txt": "new\n"})
    tree = work_tree(box.root)
    box.write({"a.txt": "later\n", "new.txt": "later\n"})
    assert contents(tree) == {"a.txt": b"one\n", "new.txt": None, "src/b.py": b"b = 1\n"}


def test_sha256_repositories(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "repo", tmp_path)
    sandbox.root.mkdir()
    sandbox.git("init", "-q", "--object-format=sha256")
    commit = sandbox.commit({"a.txt": "a\n"})
    sandbox.write({"b.txt": "b\n"})
    tree = work_tree(sandbox.root)
    assert contents(tree) == {"a.txt": b"a\n", "b.txt": b"b\n"}
    assert oids(tree)["b.txt"] == sandbox.git("hash-object", "b.txt").strip()
    assert contents(tree_of(Repo.open(sandbox.root), commit)) == {"a.txt": b"a\n"}


def test_a_tree_that_is_not_the_commits(box: Sandbox) -> None:
    repo = Repo.open(box.root)
    commit = repo.head_commit()
    edited = repo.edit_tree(repo.tree_of(commit), {"a.txt": None, "n.txt": ("100644", repo.write_blob(b"n\n"))})
    tree = tree_of(repo, commit, edited)
    assert contents(tree) == {"n.txt": b"n\n", "src/b.py": b"b = 1\n"}
    with pytest.raises(GitError):
        tree_of(repo, "0" * 40)


def test_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("c\n")
    (tmp_path / "z.txt").write_text("z\n")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for cache in ("node_modules", "__pycache__", ".git", ".hg"):
        (tmp_path / cache).mkdir()
        (tmp_path / cache / "x").write_text("x")
    tree = work_tree(tmp_path)
    assert contents(tree) == {"a/b/c.txt": b"c\n", "z.txt": b"z\n"}
    assert tree.skipped == (("a/loop", "link"), ("pipe", "special"))
    assert (tree.commit, tree.time, tree.root) == ("", 0, str(tmp_path))
    assert oids(tree)["z.txt"] == blob_id(b"z\n")


@pytest.mark.parametrize("damage", [".git/HEAD", ".git/index"])
def test_a_broken_repository_is_a_folder(box: Sandbox, damage: str) -> None:
    (box.root / damage).write_bytes(b"rubbish")
    tree = work_tree(box.root)
    assert (paths(tree), tree.commit) == (["a.txt", "src/b.py"], "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "dark").mkdir()
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "a.txt").chmod(0)
    (tmp_path / "dark").chmod(0)
    assert work_tree(tmp_path).skipped == (("a.txt", "unreadable"), ("dark/", "unreadable"))
    (tmp_path / "dark").chmod(0o700)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(NotARepository):
        work_tree(tmp_path / "missing")
    subprocess.run(["git", "init", "-q", "--bare", tmp_path / "bare"], check=True)
    with pytest.raises(InvalidInput):
        work_tree(tmp_path / "bare")


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[str]:
    """The path of a file that lies deeper below `tmp_path` than Python may recurse."""
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("x.txt", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at))
    os.close(at)
    yield "d/" * 1200 + "x.txt"
    subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # pytest would remove it by recursion


def test_a_folder_deeper_than_any_recursion(tmp_path: Path, deep: str) -> None:
    assert paths(work_tree(tmp_path)) == [deep]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    assert paths(work_tree(tmp_path)) == [deep]
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    assert paths(work_tree(tmp_path)) == [deep]
    assert paths(work_tree(tmp_path / "d")) == [deep[2:]]
