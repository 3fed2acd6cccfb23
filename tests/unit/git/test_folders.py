"""Folders that others have filled are opened, moved and deleted, whatever is in them; no link is followed."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from branchline.git.folders import absolute, delete_tree, is_folder, move


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    return tmp_path / "outside"


def full(folder: Path, outside: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "file").write_text("x")
    (folder / "deep" / "out").symlink_to(outside)
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")


MAKE: dict[str, Callable[[Path, Path], object]] = {
    "nothing": lambda _path, _outside: None,
    "a file": lambda path, _outside: path.touch(),
    "a folder": full,
    "a link to a folder": lambda path, outside: path.symlink_to(outside),
    "a link to a file": lambda path, outside: path.symlink_to(outside / "kept"),
    "a dangling link": lambda path, _outside: path.symlink_to("nowhere"),
    "a pipe": lambda path, _outside: os.mkfifo(path),
    "a socket": lambda path, _outside: os.mknod(path, stat.S_IFSOCK | 0o600),
}


@pytest.mark.parametrize("kind", MAKE)
def test_whatever_it_is_it_goes(tmp_path: Path, outside: Path, kind: str) -> None:
    place = tmp_path / "place"
    MAKE[kind](place, outside)
    delete_tree(place)
    assert not os.path.lexists(place)
    assert (outside / "kept").read_text() == "kept"


LOCKED = """
import os, sys
from pathlib import Path
from branchline.git.folders import delete_tree, unlock
os.setgroups([]); os.setgid(65534); os.setuid(65534)
place = Path(sys.argv[1]) / "place"
(place / "a" / "b").mkdir(parents=True)
(place / "a" / "b" / "c").touch()
for locked in (place / "a" / "b", place / "a", place):
    locked.chmod(0)
unlock(place)
print(os.listdir(place))
delete_tree(place)
print(place.exists())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody whom permissions bind")
def test_locked_folders_go_too() -> None:
    with TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run([sys.executable, "-c", LOCKED, folder], capture_output=True, check=False)
    assert done.stderr.decode() == ""
    assert done.stdout.decode().split() == ["['a']", "False"]


@pytest.mark.parametrize("other", [False, True], ids=["same file system", "another"])
def test_what_is_moved_arrives(tmp_path: Path, outside: Path, other: bool) -> None:
    with TemporaryDirectory(dir="/dev/shm" if other else tmp_path) as folder:
        if other and os.stat(folder).st_dev == tmp_path.stat().st_dev:
            pytest.skip("it is the same file system")
        source, target = tmp_path / "place", Path(folder) / "there"
        source.mkdir()
        full(source, outside)
        move(source, target)
        found = {str(one.relative_to(target)) for one in target.rglob("*")}
        assert found - {"pipe"} == {"deep", "deep/er", "deep/er/file", "deep/out", "dangling"}
        assert (target / "deep" / "out").readlink() == outside
        assert not source.exists()
        source.symlink_to("nowhere")
        move(source, Path(folder) / "link")
        assert os.readlink(Path(folder) / "link") == "nowhere"
        assert not os.path.lexists(source)
        (source).write_text("x")
        move(source, Path(folder) / "file")
        assert (Path(folder) / "file").read_text() == "x"
    assert (outside / "kept").exists()


def test_a_folder_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    found = {name: is_folder(tmp_path / name) for name in (".", "link", "file", "none", "file/below")}
    assert found == {".": True, "link": False, "file": False, "none": False, "file/below": False}


def test_only_the_folders_above_are_resolved(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "above").symlink_to("real")
    (tmp_path / "real" / "last").symlink_to("nowhere")
    assert absolute(tmp_path / "above" / "last") == tmp_path / "real" / "last"
