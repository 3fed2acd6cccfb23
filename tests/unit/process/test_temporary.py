"""Temporary files of a process that is killed go with the start of the next."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

MAKE = """
import os, sys, time
from branchline.process.temporary import temporary_folder
(temporary_folder() / "left").write_text("x")
print(temporary_folder(), flush=True)
if sys.argv[1:] == ["wait"]:
    time.sleep(60)
"""


def start(folder: Path, *args: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen([sys.executable, "-c", MAKE, *args], stdout=subprocess.PIPE, text=True, env=env)


def ended(process: "subprocess.Popen[str]") -> Path:
    out, _ = process.communicate()
    return Path(out.strip())


def test_nothing_is_left_of_a_process_that_ends(tmp_path: Path) -> None:
    own = ended(start(tmp_path))
    assert own.parent == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_goes_with_the_next(tmp_path: Path) -> None:
    left = []
    for _ in range(5):
        process = start(tmp_path, "wait")
        assert process.stdout is not None
        left.append(Path(process.stdout.readline().strip()))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert left[-1].exists()
    ended(start(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_uses_stays(tmp_path: Path) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    own = Path(process.stdout.readline().strip())
    ended(start(tmp_path))
    assert (own / "left").exists()
    process.kill()
    process.communicate()


def test_a_process_of_another_namespace_is_not_taken_for_dead(tmp_path: Path) -> None:
    process = start(tmp_path, "wait")
    assert process.stdout is not None
    own = Path(process.stdout.readline().strip())
    elsewhere = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", sys.executable, "-c", MAKE]
    done = subprocess.run(elsewhere, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=False)
    try:
        if done.returncode != 0:
            pytest.skip("no PID namespace can be made here")
        assert (own / "left").exists()
    finally:
        process.kill()
        process.communicate()
