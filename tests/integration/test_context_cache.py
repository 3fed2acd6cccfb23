"""The index under many processes at once, and under kill -9, with real processes."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from branchline.context.code.analysis import Analysis
from branchline.context.index.cache import Index
from branchline.context.index.database import connect, default_folder
from branchline.context.index.indexed import IndexedCorpus
from branchline.context.index.scan import Tree, work_tree
from branchline.git.repo import Repo
from unit.context.indexing import analyse, surely, tree_with
from unit.git.sandbox import Sandbox

TESTS = Path(__file__).parents[1]
FILES = 40


def texts(number: int) -> dict[str, str]:
    """The files of a tree: half of them are in every tree."""
    own = range(number * FILES // 2, (number + 1) * FILES // 2)
    names = [f"common{file}" for file in range(FILES // 2)] + [f"own{file}" for file in own]
    return {f"{name}.py": f"def {name}\n" + "shared Total\n" * 20 for name in names}


def tree(number: int) -> Tree:
    return tree_with(texts(number))


def slowly(data: bytes, path: str) -> Analysis:
    time.sleep(0.002)
    return analyse(data, path)


def check(index: Index, number: int) -> None:
    """Whether the index tells of a tree what is so, all of it in one go."""
    surely(index, tree(number), partial(check_corpus, number))


def check_corpus(number: int, corpus: IndexedCorpus) -> None:
    wanted = texts(number)
    assert list(corpus.paths) == sorted(wanted)
    assert corpus.postings("shared") == dict.fromkeys(range(FILES), 20)
    for file, path in enumerate(corpus.paths):
        name = path.removesuffix(".py")
        assert corpus.defining([name]) == {name: [file]}
        assert corpus.pieces(file).holding("shared") == {0: 20}
        assert corpus.analysis(file).sha256 == analyse(wanted[path].encode(), path).sha256


def program(folder: Path, body: str) -> list[str]:
    """A Python program that has this module's names, the index open, and `trees`."""
    lines = [
        f"import sys; sys.path.insert(0, {str(TESTS)!r})",
        "from pathlib import Path",
        "from integration.test_context_cache import *",
        f"index = Index(Path({str(folder)!r}))",
        body,
        "assert index.warnings == [], index.warnings",
    ]
    return [sys.executable, "-c", "\n".join(lines)]


@contextmanager
def started(argv: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """A process, ended with the block if it has not ended by itself."""
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_many_add_the_same_tree_at_once(tmp_path: Path) -> None:
    body = "print(sum(index.add(tree(n), slowly) for n in range(3))); [check(index, n) for n in range(3)]"
    with (
        started(program(tmp_path, body)) as one,
        started(program(tmp_path, body)) as two,
        started(program(tmp_path, body)) as three,
    ):
        added = [int(finished(process)) for process in (one, two, three)]
    assert sum(added) >= FILES * 2  # each file once, whoever did it; more only if one waited too long for its turn
    with closing(Index(tmp_path)) as index:
        assert index.add(tree(2), analyse) == 0
        check(index, 2)


def test_readers_see_a_whole_index_while_segments_are_merged(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree(0), analyse)
        writer = program(tmp_path, "for n in range(1, 60): index.add(tree(n), analyse); print(n, flush=True)")
        with started(writer) as process:
            looks = 0
            while process.poll() is None:
                check(index, 0)
                looks += 1
            finished(process)
        assert looks > 3
        check(index, 0)
        index.add(tree(59), analyse)
        check(index, 59)
        assert index.warnings == []


def test_readers_see_a_whole_tree_while_another_process_empties_the_index(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree(0), analyse)
        body = "for n in range(1, 60): index.add(tree(n), analyse); index.bound(0, tree(0))"
        with started(program(tmp_path, body)) as process:
            while process.poll() is None:
                check(index, 0)
            finished(process)
        check(index, 0)
        assert index.warnings == []


@pytest.mark.parametrize("seed", [pytest.param(one, marks=pytest.mark.heavy if one > 3 else ()) for one in range(8)])
def test_killed_at_any_moment(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    body = "print('ready', flush=True)\nfor n in range(200): index.add(tree(n), analyse); index.bound(80_000, tree(n))"
    for _ in range(3):
        with started(program(tmp_path, body)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(chance.random() * 0.4)
            process.send_signal(signal.SIGKILL)
            process.wait()
        with closing(Index(tmp_path)) as index:
            for number in (0, chance.randrange(200)):
                index.add(tree(number), analyse)
                check(index, number)
            assert index.database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert index.warnings == []


def test_many_find_the_same_damage_at_once(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree(0), analyse)
    (path,) = tmp_path.glob("*.sqlite")
    path.write_bytes(b"rubbish" * 10_000)
    body = "index.add(tree(0), slowly); check(index, 0)"
    with started(program(tmp_path, body)) as one, started(program(tmp_path, body)) as two:
        finished(one)
        finished(two)
    with closing(Index(tmp_path)) as index:
        assert index.add(tree(0), analyse) == 0
        check(index, 0)


def test_many_make_the_same_index_at_once(tmp_path: Path) -> None:
    body = "check(index, 0) if index.add(tree(0), analyse) or True else None"
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        with started(program(folder, body)) as one, started(program(folder, body)) as two:
            finished(one)
            finished(two)


def test_one_who_writes_for_long_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with closing(Index(tmp_path)) as index:
        index.add(tree(0), analyse)
    (path,) = tmp_path.glob("*.sqlite")
    with closing(connect(path)) as other, closing(Index(tmp_path)) as index:
        other.execute("BEGIN IMMEDIATE")
        index.database.execute("PRAGMA busy_timeout=50")
        assert index.add(tree(0), analyse) == 0
        check(index, 0)
        index.put("key", b"value")
        assert index.warnings == []
        check(index, 1)
        check(index, 0)
        (warning,) = index.warnings
        assert "locked" in warning


def test_all_work_trees_share_one_index(tmp_path: Path) -> None:
    box = Sandbox(tmp_path / "repo", tmp_path)
    box.root.mkdir()
    box.git("init", "-q", "-b", "main")
    box.commit({"a.py": "def Total", "src/b.py": "Total"})
    box.git("worktree", "add", "-q", str(tmp_path / "side"))
    (tmp_path / "side" / "new.py").write_text("Total Total")
    with closing(Index(default_folder(box.root, Repo.find(box.root)))) as index:
        assert index.add(work_tree(box.root), analyse) == 2
    with closing(Index(default_folder(tmp_path / "side", Repo.find(tmp_path / "side")))) as index:
        side = work_tree(tmp_path / "side")
        assert index.add(side, analyse) == 1
        corpus = IndexedCorpus(index, side)
        assert list(corpus.paths) == ["a.py", "new.py", "src/b.py"]
        assert corpus.postings("total") == {0: 1, 1: 2, 2: 1}
    assert box.git("status", "--porcelain") == ""
