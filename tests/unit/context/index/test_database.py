"""The file that the index is in."""

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.context.code import words
from branchline.context.index.database import (
    FORMAT,
    Damaged,
    connect,
    default_folder,
    discard,
    is_damage,
    sealed,
    transaction,
    turn,
    unsealed,
)
from branchline.git.repo import Repo
from unit.git.sandbox import Sandbox


def test_the_format_is_raised_when_terms_change() -> None:
    sample = "HTTPServerError parseJSON files_changed queries class x a1b2 __init__ THE utf8 IOError Classes status bus"
    told = repr([words.terms_of(word) for word in sample.split()])
    assert (FORMAT, hashlib.sha256(told.encode()).hexdigest()[:12]) == (7, "041be11becbe"), (
        "raise FORMAT, then adapt this"
    )


def test_the_folder_is_shared_by_all_work_trees(box: Sandbox) -> None:
    box.git("worktree", "add", "-q", str(box.scratch / "side"))
    shared = box.root / ".git" / "branchline"
    places = (box.root, box.root / "src", box.scratch / "side")
    assert {default_folder(place, Repo.find(place)) for place in places} == {shared}


def test_a_plain_folder_has_its_index_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    folder = default_folder(tmp_path / "a", None)
    assert folder.parent == tmp_path / "cache" / "branchline" / "context"
    assert default_folder(tmp_path / "link", None) == folder != default_folder(tmp_path, None)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_folder(tmp_path / "a", None).is_relative_to(tmp_path / "home" / ".cache")


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_git_directory_that_may_not_be_written(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(box.scratch))
    (box.root / ".git").chmod(0o500)
    assert default_folder(box.root, Repo.find(box.root)).is_relative_to(box.scratch)
    (box.root / ".git").chmod(0o700)


def test_an_index_is_made_once_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "context-1.sqlite"
    with closing(connect(path)) as database, transaction(database):
        database.execute("INSERT INTO kept VALUES ('a', 'b')")
    with closing(connect(path)) as database:
        assert database.execute("SELECT value FROM kept").fetchall() == [("b",)]
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert path.parent.stat().st_mode & 0o77 == 0


def test_an_index_of_another_version_goes_when_nobody_used_it_for_long(tmp_path: Path) -> None:
    old, new = tmp_path / "context-old.sqlite", tmp_path / "context-new.sqlite"
    connect(old).close()
    connect(new).close()
    os.utime(old, (0, 0))
    connect(tmp_path / "context-3.sqlite").close()
    assert not old.exists()
    assert new.exists()


def test_only_the_damaged_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "context-1.sqlite"
    path.write_bytes(b"rubbish")
    (tmp_path / "context-1.sqlite-wal").write_bytes(b"rubbish")
    inode = path.stat().st_ino
    discard(path, inode + 1)
    assert path.exists()
    discard(path, inode)
    discard(path, inode)
    assert [file.name for file in tmp_path.iterdir()] == ["context-1.lock"]


def test_what_is_damage(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_bytes(b"rubbish" * 1000)
    with closing(sqlite3.connect(tmp_path / "rubbish")) as database, pytest.raises(sqlite3.DatabaseError) as caught:
        database.execute("PRAGMA user_version")
    assert is_damage(caught.value)
    with closing(connect(tmp_path / "x")) as one, closing(connect(tmp_path / "x")) as other, transaction(one):
        other.execute("PRAGMA busy_timeout=1")
        with pytest.raises(sqlite3.OperationalError) as busy:
            other.execute("BEGIN IMMEDIATE")
        assert not is_damage(busy.value)
    assert is_damage(Damaged("x"))


@given(st.binary(max_size=20), st.binary(max_size=5), st.integers(0, 200))
def test_a_changed_value_is_damage(data: bytes, key: bytes, at: int) -> None:
    kept = sealed(data, key)
    assert unsealed(kept, key) == data
    flipped = bytearray(kept)
    flipped[at % len(kept)] ^= 1 << at % 8
    for bad in (bytes(flipped), kept[:-1], "text", 7, None):
        with pytest.raises(Damaged):
            unsealed(bad, key)
    with pytest.raises(Damaged):
        unsealed(kept, key + b"x")


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "x")) as database:
        with suppress(KeyboardInterrupt), transaction(database):
            database.execute("INSERT INTO kept VALUES ('a', 'b')")
            raise KeyboardInterrupt
        assert database.execute("SELECT * FROM kept").fetchall() == []
        with transaction(database):
            database.execute("INSERT INTO kept VALUES ('a', 'b')")
        assert len(database.execute("SELECT * FROM kept").fetchall()) == 1


def test_one_turn_at_a_time(tmp_path: Path) -> None:
    path, order = tmp_path / "x.sqlite", list[str]()

    def second() -> None:
        with turn(path):
            order.append("second")

    with turn(path):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.1)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    with turn(None), turn(tmp_path / "missing" / "x.sqlite"):
        pass
