"""How much folders have grown, without a look at all of their files whenever somebody asks."""

import os
import time
from pathlib import Path

from branchline.process import limits as growth
from branchline.process.limits import Growth
from processes import soon

MB = 1 << 20


def test_what_is_written_counts_and_what_was_there_does_not(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(os.urandom(8 * MB))
    time.sleep(0.05)
    measured = Growth([tmp_path], 4 * MB)
    assert not measured.exceeded()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "new").write_bytes(os.urandom(3 * MB))
    assert not any(measured.exceeded() for _ in range(5))
    (tmp_path / "sub" / "newer").write_bytes(os.urandom(3 * MB))
    assert soon(measured.exceeded)


def test_holes_and_second_names_take_no_space(tmp_path: Path) -> None:
    measured = Growth([tmp_path], 4 * MB)
    with open(tmp_path / "hole", "wb") as file:
        file.truncate(100 * MB)
    (tmp_path / "one").write_bytes(os.urandom(2 * MB))
    for name in "abc":
        os.link(tmp_path / "one", tmp_path / name)
    os.symlink("/", tmp_path / "link")
    assert not any(measured.exceeded() for _ in range(20))


def test_many_files_take_many_looks_and_none_of_them_long(tmp_path: Path) -> None:
    measured = Growth([tmp_path], MB)
    for number in range(3000):
        (tmp_path / str(number)).write_bytes(b"x" * 4096)
    began, looks = time.monotonic(), 0
    while not measured.exceeded():
        looks += 1
        assert time.monotonic() - began < 30
    assert looks < 200


def test_a_slow_growth_is_seen_in_the_end(tmp_path: Path) -> None:
    measured = Growth([tmp_path], 1 << 40)
    measured._limit = MB  # the disk does not fill up by a quarter of it: only the clock can tell
    measured._free = 0
    (tmp_path / "new").write_bytes(os.urandom(2 * MB))
    assert not measured.exceeded()
    measured._looked -= growth.AT_LEAST
    assert soon(measured.exceeded)


def test_a_folder_that_is_gone_has_not_grown(tmp_path: Path) -> None:
    measured = Growth([tmp_path / "none"], MB)
    measured._looked -= growth.AT_LEAST
    assert not any(measured.exceeded() for _ in range(3))
