"""Blob ids that are remembered by what `stat` says."""

import os
import time
from pathlib import Path

import pytest

from branchline.context.index.content import MOST_BYTES, File, blob_id
from branchline.context.index.scan import work_tree
from branchline.context.index.stamps import Stamps

LIBRARY, OLD = os.path.split(os.__file__)  # a file that changed long before any test


class Kept(dict[str, bytes]):
    """A store that keeps everything."""

    def put(self, key: str, value: bytes) -> None:
        self[key] = value


def test_a_file_that_stays_is_hashed_once() -> None:
    store = Kept()
    first = Stamps(LIBRARY, store)
    found = first.file(OLD)
    assert isinstance(found, File)
    assert found == File(OLD, blob_id(Path(os.__file__).read_bytes()), found.size)
    first.keep()
    (key,) = store
    store[key] = store[key].replace(found.oid.encode(), b"f" * 40)
    again = Stamps(LIBRARY, store)
    assert again.file(OLD) == File(OLD, "f" * 40, found.size)
    again.keep()
    assert b"f" * 40 in store[key]


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path) -> None:
    store = Kept()
    (tmp_path / "new").write_bytes(b"new\n")
    stamps = Stamps(str(tmp_path), store)
    stamps.file("new")
    stamps.keep()
    assert store == {}


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    store, path = Kept(), tmp_path / "a"
    path.write_bytes(b"old\n")
    about = path.stat()
    time.sleep(2.1)
    assert work_tree(tmp_path, store).files == (File("a", blob_id(b"old\n"), 4),)
    assert len(store) == 1
    path.write_bytes(b"new\n")
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert work_tree(tmp_path, store).files == (File("a", blob_id(b"new\n"), 4),)


@pytest.mark.parametrize("rubbish", [b"", b"rubbish", b"\x81\xa1a\x01"])
def test_rubbish_in_the_store_is_nothing(rubbish: bytes) -> None:
    store = Kept()
    found = Stamps(LIBRARY, store)
    found.file(OLD)
    found.keep()
    store |= dict.fromkeys(store, rubbish)
    assert Stamps(LIBRARY, store).file(OLD) == found.file(OLD)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(MOST_BYTES + 1)
    stamps = Stamps(str(tmp_path), None)
    names = ("link", "folder", "pipe", "large", "missing")
    assert [stamps.file(name) for name in names] == ["link", "special", "special", "too_large", "unreadable"]
