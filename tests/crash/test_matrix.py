"""A sample of the crash matrix (`make crash`), and that the matrix sees what it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from crash.stage import STRACE
from crash.trial import Point

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the crash matrix needs Linux"),
    pytest.mark.timeout(600),  # on a machine that is busy with much else
]
TESTS = Path(__file__).parents[1]
POINTS = 16


def matrix(*args: str) -> "subprocess.CompletedProcess[str]":
    """The command, in a process of its own: it forks coordinators, and this one may have threads."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])}
    command = [sys.executable, "-m", "crash.matrix", "--jobs", "1", *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def row(table: str, name: str) -> list[int]:
    """The numbers of a row: points, kills, failed."""
    line = next(line for line in table.splitlines() if line.startswith(name))
    return [int(word) for word in line.removeprefix(name).split()]


@pytest.mark.slow
def test_a_sample_of_all_kinds_of_kills_ends_as_if_nothing_had_happened() -> None:
    ran = matrix("--sample", str(POINTS), "--seed", "7", "--story", "plain", "--story", "protected", "--story", "graph")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    points, kills, failed = row(ran.stdout, "all that were killed")
    assert points > POINTS * 2 // 3, ran.stdout
    assert kills > points
    assert failed == 0
    assert ("system call" in ran.stdout) == (STRACE is not None)


def test_one_point_again_by_its_name() -> None:
    ran = matrix("--only", "graph/0/deed-30+2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert row(ran.stdout, "all that were killed") == [1, 2, 0]


@pytest.mark.parametrize(
    "name", ["plain/0/deed-7", "planned/1/deed-12/rename:3+4+5", "plain/0/openat-77", "a/0/deed-1/orphan"]
)
def test_a_points_name_says_all_of_it(name: str) -> None:
    assert str(Point.parse(name)) == name
