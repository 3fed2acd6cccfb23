"""Control groups: what can be tried without a system that gives us one with a limit for memory."""

import os
from pathlib import Path

import pytest

from branchline.process.cgroup import MOUNT, ControlGroup


def test_there_is_one_with_its_limit_or_none(tmp_path: Path) -> None:
    made = ControlGroup.made(64 << 20, 512)
    if made is None:
        assert not list(MOUNT.glob(f"**/branchline-{os.getpid()}-*")), "a try leaves nothing behind"
        pytest.skip("no control group of version 2 with a limit for memory can be made here")
    assert (made.folder / "memory.max").read_text().strip() == str(64 << 20)
    assert (made.folder / "pids.max").read_text().strip() == "512"
    assert not made.ran_out
    made.remove()
    assert not made.folder.exists()


def test_a_folder_that_is_no_control_group_is_not_taken_for_one(tmp_path: Path) -> None:
    assert ControlGroup.made(64 << 20, None, mount=tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_is_bounded_there_is_none() -> None:
    assert ControlGroup.made(None, None) is None


def test_its_events_tell_whether_memory_ran_out(tmp_path: Path) -> None:
    group = ControlGroup(tmp_path)
    assert not group.ran_out
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 0\noom_kill 0\noom_group_kill 0\n")
    assert not group.ran_out
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 3\noom_group_kill 1\n")
    assert group.ran_out
