"""Who has a file open, and which gits are at work where."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from branchline.process.holders import gits, holders, visible
from branchline.process.sweep import MARKER

pytestmark = pytest.mark.skipif(not visible(), reason="this system does not show its processes")
NOBODY = 65534


@contextmanager
def running(*argv: str, cwd: Path, **more: object) -> Iterator[int]:
    """A process that has said that it runs."""
    process = subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, stdin=subprocess.PIPE, **more)  # type: ignore[call-overload]
    try:
        time.sleep(0.05)
        yield process.pid
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def git(tmp_path: Path) -> str:
    """A program named git that waits."""
    (tmp_path / "bin").mkdir()
    shutil.copy(shutil.which("sleep") or "", tmp_path / "bin" / "git")
    return str(tmp_path / "bin" / "git")


def test_who_has_a_file_open_is_found(tmp_path: Path) -> None:
    file, other = tmp_path / "a.lock", tmp_path / "b.lock"
    script = "import sys, time; f = open(sys.argv[1], 'w'); time.sleep(60)"
    with running(sys.executable, "-c", script, str(file), cwd=tmp_path) as pid:
        until = time.monotonic() + 10
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.01)
        other.touch()
        link = tmp_path / "link"
        link.symlink_to(tmp_path)
        assert holders(file) == holders(link / "a.lock") == [pid]
        assert holders(other) == []
    assert holders(file) == []
    assert holders(tmp_path / "none") == []


def test_a_git_counts_where_it_is_and_where_it_was_told_to_be(tmp_path: Path, git: str) -> None:
    repo, beside = tmp_path / "repo", tmp_path / "beside"
    for folder in (repo / "sub", beside):
        folder.mkdir(parents=True)
    with running(git, "60", cwd=repo / "sub") as pid:
        assert gits([repo]) == [pid]
        assert gits([beside]) == []
    with running(git, "60", cwd=beside, env={"GIT_DIR": str(repo)}) as pid:
        assert gits([repo]) == [pid]
    with running("sleep", "60", cwd=repo):
        assert gits([repo]) == []


def test_a_coordinators_own_git_may_be_left_out(tmp_path: Path, git: str) -> None:
    with running(git, "60", cwd=tmp_path, env={MARKER: "01RUN@0123/git"}) as pid:
        assert gits([tmp_path]) == [pid]
        assert gits([tmp_path], of_runs=False) == []
    with running(git, "60", cwd=tmp_path, env={MARKER: "01RUN@0123/task/1"}) as pid:
        assert gits([tmp_path], of_runs=False) == [pid]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_what_another_user_hides_counts(tmp_path: Path, git: str) -> None:
    with TemporaryDirectory() as folder, running(git, "60", cwd=tmp_path) as pid:
        os.chmod(folder, 0o755)
        lock = Path(folder, "x.lock")
        lock.touch()
        os.seteuid(NOBODY)
        try:
            opened, working = holders(lock), gits([Path(folder)])
        finally:
            os.seteuid(0)
        assert pid in opened
        assert pid in working
        assert holders(lock) == gits([Path(folder)]) == []
