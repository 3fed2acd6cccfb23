import os
from pathlib import Path

import pytest

from branchline.process.trees import remove, walk


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for name in ("a/b/c", "a/d", ".0/.1"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "file").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "stays").write_text("x")
    (tmp_path / "top" / "a" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "top"


def test_every_folder_is_seen_once(top: Path) -> None:
    seen = {one.path: sorted(one.names) for one in walk(top)}
    assert seen == {
        "": [], "a": ["link"], "a/b": [], "a/b/c": ["file"], "a/d": ["file"], ".0": [], ".0/.1": ["file"]
    }  # fmt: skip


def test_folders_that_the_caller_strikes_out_are_passed_over(top: Path) -> None:
    seen = []
    for one in walk(top):
        one.folders[:] = [name for name in one.folders if name != "b"]
        seen.append(one.path)
    assert sorted(map(str, seen)) == ["", ".0", ".0/.1", "a", "a/d"]


def test_what_has_gone_is_nothing(top: Path) -> None:
    folder = next(one for one in walk(top / "a" / "b" / "c"))
    assert folder.look("other") is None
    assert list(walk(top / "other")) == []
    assert list(walk(top / "a" / "link")) == []


def test_a_walk_ends_where_a_folder_was_moved(top: Path) -> None:
    seen = []
    for one in walk(top):
        seen.append(one.path)
        if one.path == "a/b":
            (top / "a" / "b").rename(top.parent / "b")
    assert "a/d" not in seen or seen.index("a/d") < seen.index("a/b")


def test_a_tree_is_removed_and_what_links_lead_to_stays(top: Path) -> None:
    (top / "a" / "b").chmod(0)
    remove(top)
    assert not top.exists()
    assert (top.parent / "outside" / "stays").exists()


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "none")


def test_descriptors_are_given_back(top: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    next(iter(walk(top)))
    list(walk(top))
    remove(top)
    assert not before or len(os.listdir("/proc/self/fd")) <= before
