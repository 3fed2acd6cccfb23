import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from branchline.errors import InvalidInput, RunBusy
from branchline.ledger.lease import Lease, is_held, take
from branchline.ledger.paths import RunPaths

HOLDER = """
import sys
from pathlib import Path
from branchline.errors import RunBusy
from branchline.ledger.lease import Lease
from branchline.ledger.paths import RunPaths
sys.stdin.readline()
try:
    lease = Lease(RunPaths(Path(sys.argv[1]), "R"), now=0)
except RunBusy as error:
    print(error, flush=True)
else:
    print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    made = RunPaths(tmp_path, "R")
    made.make()
    return made


def holder(paths: RunPaths) -> subprocess.Popen[str]:
    """A process that tries for the lease once it is sent a line, and ends at the next."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(paths.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_holder_is_told_who_the_first_is(paths: RunPaths) -> None:
    assert not is_held(paths)
    lease = Lease(paths, now=0)
    assert is_held(paths)
    with pytest.raises(RunBusy, match=f"run R is being driven by process {os.getpid()} on ") as caught:
        Lease(paths, now=1)
    assert caught.value.hint == "branchline status R"
    assert json.loads(paths.owner.read_text())["since"] == "1970-01-01T00:00:00.000Z"
    lease.release()
    assert not is_held(paths)
    with Lease(paths, now=2):
        assert is_held(paths)
    assert not is_held(paths)


@pytest.mark.parametrize("owner", [None, "[]", '{"pid": %d, "host": "%s", "since": "long ago"}'])
def test_an_owner_that_is_unreadable_or_dead_is_another_process(paths: RunPaths, owner: str | None) -> None:
    lease = Lease(paths, now=0)
    paths.owner.unlink()
    if owner is not None:
        with subprocess.Popen(["true"]) as dead:
            dead.wait()
        paths.owner.write_text(owner % (dead.pid, os.uname().nodename) if "%" in owner else owner)
    with pytest.raises(RunBusy, match="run R is being driven by another process"):
        Lease(paths, now=1)
    lease.release()


def test_an_owner_on_another_host_is_taken_at_its_word(paths: RunPaths) -> None:
    lease = Lease(paths, now=0)
    paths.owner.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "noon"}))
    with pytest.raises(RunBusy, match="run R is being driven by process 1 on elsewhere since noon"):
        Lease(paths, now=1)
    lease.release()


def test_asking_leaves_no_file_behind(paths: RunPaths) -> None:
    assert not is_held(paths)
    assert not paths.lock.exists()


def test_two_who_ask_at_once_do_not_see_each_other(paths: RunPaths) -> None:
    Lease(paths, now=0).release()
    with paths.lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not is_held(paths)


def test_the_lease_ends_with_its_process_however_that_ends(paths: RunPaths) -> None:
    with holder(paths) as process:
        tell(process)
        assert answer(process) == "held"
        assert is_held(paths)
        with pytest.raises(RunBusy, match=f"process {process.pid} on "):
            Lease(paths, now=1)
        process.send_signal(signal.SIGKILL)
    assert not is_held(paths)
    Lease(paths, now=2).release()


def test_a_child_does_not_inherit_the_lease(paths: RunPaths) -> None:
    lease = Lease(paths, now=0)
    with subprocess.Popen(["sleep", "30"], close_fds=False) as child:
        lease.release()
        try:
            assert not is_held(paths)
        finally:
            child.kill()


def test_of_thirty_that_start_at_once_one_wins_and_the_others_say_who(paths: RunPaths) -> None:
    with subprocess.Popen(["true"]) as dead:  # whoever held it before
        dead.wait()
    paths.owner.write_text(json.dumps({"pid": dead.pid, "host": os.uname().nodename, "since": "before"}))
    starters = [holder(paths) for _ in range(30)]
    for process in starters:
        tell(process)
    answers = [answer(process) for process in starters]
    for process in starters:
        process.communicate("\n")
    winner = starters[answers.index("held")].pid
    since = "since 1970-01-01T00:00:00.000Z"
    told = f"run R is being driven by process {winner} on {os.uname().nodename} {since}"
    assert sorted(answers) == ["held", *[told] * 29]


def no_locks(_file: int, _operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_disk_without_locks_is_no_other_process(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.lock.touch()
    monkeypatch.setattr(fcntl, "flock", no_locks)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(InvalidInput, match="cannot be locked: No locks available") as caught:
        Lease(paths, now=0)
    assert "mount" in caught.value.hint
    assert len(os.listdir("/proc/self/fd")) == before
    assert not is_held(paths)
    with paths.lock.open() as file, pytest.raises(InvalidInput):
        take(file.fileno(), paths.lock, wait=True)
