"""Benchmarks of the context broker: trees composed of other repositories."""

import subprocess
from pathlib import Path

import pytest
from context.trees import BASE, FILLING, Entry, blobs, entries, fill, git, large, mixed, python, renamed, store


def repository(mirror: Path, name: str, files: dict[str, bytes], *, commits: int = 1) -> None:
    bare, work = mirror / name / "repo", mirror.with_name(f"{mirror.name}-{name}")
    git(None, "init", "-q", "-b", "main", str(work))
    for path, data in files.items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(data)
    git(work, "add", "-A")
    for number in range(commits):
        git(work, "commit", "-q", "--allow-empty", "-m", f"{number}")
    git(None, "clone", "-q", "--bare", str(work), str(bare))


def entry(path: str, size: int) -> Entry:
    return Entry(Path("m/o+r/repo"), path, "0" * 40, size)


def files_of(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in git(root, "ls-files", "-z").split("\0") if name}


def test_a_tree_is_filled_to_its_size_without_files_that_are_too_large_for_it() -> None:
    pool = [entry("huge.py", 5_000), *(entry(f"{number}.py", 100) for number in range(50))]
    taken = list(fill(pool, 10, 1_000))
    assert [one.path for one in taken] == [f"{number}.py" for number in range(10)]


def test_the_order_depends_on_paths_alone() -> None:
    pool = [entry(f"{number}.py", number) for number in range(20)]
    assert mixed(pool) == mixed(pool[::-1]) != pool


def test_names_are_changed_where_there_are_some() -> None:
    assert renamed(b"def read_file(x): return read_file\n", 7) == b"def read_file_7(x): return read_file_7\n"
    assert renamed(b"return x\n", 7) == b"return x\n\n7\n"


def test_a_blob_that_a_snapshot_lacks_is_empty(tmp_path: Path) -> None:
    repository(tmp_path / "m", "o+r", {"a.py": b"one\ntwo\n", "b.py": b"", "c.py": b"\xff\0"})
    source = store(tmp_path / "m", "o+r")
    ids = {one.path: one.blob for one in entries(source, (".py",))}
    asked = [ids["a.py"], "1" * 40, ids["b.py"], ids["c.py"], ids["a.py"]]
    assert list(blobs(source, asked)) == [b"one\ntwo\n", b"", b"", b"\xff\0", b"one\ntwo\n"]


@pytest.mark.parametrize("history", [False, True])
def test_the_python_tree_is_what_was_asked_for_and_clean(tmp_path: Path, history: bool) -> None:
    mirror = tmp_path / "m"
    repository(mirror, BASE, {"lib/a.py": b"a = 1\n", "lib/a.yml": b"a: 1\n", "empty.py": b""}, commits=3)
    for name in FILLING:
        repository(mirror, name, {f"{name}/{number}.py": f"{number}\n".encode() * 10 for number in range(10)})
    git(None, "init", "-q", "-b", "main", str(tmp_path / "out"))
    python(tmp_path / "out", mirror, 8, 400, history=history)
    assert len(files_of(tmp_path / "out")) == 8
    assert files_of(tmp_path / "out")["lib/a.py"] == b"a = 1\n"
    assert all(name.endswith(".py") for name in files_of(tmp_path / "out"))
    assert git(tmp_path / "out", "rev-list", "--count", "HEAD") == ("4" if history else "1")
    assert git(tmp_path / "out", "status", "--porcelain") == ""


def test_the_large_tree_shares_no_blob(tmp_path: Path) -> None:
    mirror = tmp_path / "m"
    text = b"def read_file(x):\n    return read_file(x)\n" * 40
    repository(mirror, "o+one", {"a.py": text, "b.py": text, "c.bin": text, "d.py": b"small"})
    repository(mirror, "o+two", {"src/a.go": text})
    git(None, "init", "-q", "-b", "main", str(tmp_path / "out"))
    large(tmp_path / "out", mirror, 7, 7 * len(text))
    found = files_of(tmp_path / "out")
    assert len(found) == 7 == len(set(found.values()))
    assert {"copy1/o+one/a.py", "copy2/o+two/src/a.go"} <= found.keys()
    assert git(tmp_path / "out", "status", "--porcelain") == ""


def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no ansible\+ansible/repo"):
        store(tmp_path, BASE)


def test_git_that_fails_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        git(tmp_path, "rev-parse", "HEAD")
