"""One coordinator a run: an flock on a file that is never deleted. The owner's file is for messages only.

flock, because it ends with its process and is not lost when the file is opened and closed elsewhere; close-on-exec,
because a child that inherited it would keep it.
"""

import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from branchline.errors import InvalidInput, RunBusy
from branchline.ledger.codec import timestamp
from branchline.ledger.paths import RunPaths

OWNER_SECONDS = 1.0  # that the holder may take to say who it is


class Lease:
    """The right to write a run's ledger, held until the end of the `with`, `release` or that of the process. Raises RunBusy."""

    def __init__(self, paths: RunPaths, *, now: int) -> None:
        self._file = os.open(paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock(paths)
        except BaseException:
            os.close(self._file)
            raise
        owner_data = {"pid": os.getpid(), "host": os.uname().nodename, "since": timestamp(now)}
        with suppress(OSError):  # for messages only: a full disk stops us where it matters
            paths.owner.write_text(json.dumps(owner_data) + "\n", encoding="utf-8")

    def _lock(self, paths: RunPaths) -> None:
        """Take the lock. One who only asks whether it is held (`is_held`) may have it for a moment: try again."""
        for wait in (0.01, 0.02, 0.04, 0.0):
            with suppress(BlockingIOError):
                take(self._file, paths.lock, wait=False)
                return
            time.sleep(wait)
        owner = _owner(paths)
        raise RunBusy(f"run {paths.run_id} is being driven by {owner}", hint=f"branchline status {paths.run_id}")

    def release(self) -> None:
        """Give the run up."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def take(file: int, path: Path, *, wait: bool) -> None:
    """Lock a file for us alone. Raises BlockingIOError if another process has it, InvalidInput where no file can be locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be locked: {error.strerror}; two processes could drive one run",
            hint="move the repository to a disk that has locks, or mount this one with them (NFS: nfslock, local_lock)",
        ) from error


def is_held(paths: RunPaths) -> bool:
    """Whether some live process holds the run. Leaves no file behind; two who ask at once do not see each other."""
    try:
        file = os.open(paths.lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)  # else a disk without locks: no process of ours holds one
    else:
        return False
    finally:
        os.close(file)


def _owner(paths: RunPaths) -> str:
    """Who holds the lease. Who has just got it may not have said so yet, and who had it before is dead: look again."""
    until = time.monotonic() + OWNER_SECONDS
    while time.monotonic() < until:
        with suppress(OSError, ValueError, KeyError, TypeError):
            owner = json.loads(paths.owner.read_text("utf-8"))
            if owner["host"] == os.uname().nodename:
                with suppress(PermissionError):  # it lives, and is somebody else's
                    os.kill(int(owner["pid"]), 0)
            return f"process {owner['pid']} on {owner['host']} since {owner['since']}"
        time.sleep(0.02)
    return "another process"
