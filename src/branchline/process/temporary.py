"""Temporary files of this process: in one folder, which the next process removes if this one is killed.

A process that is killed removes nothing. It holds a lock on its folder for as long as it lives, so another can tell that it
is dead, also from another PID namespace.
"""

import atexit
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from branchline.process.trees import remove

PREFIX = "branchline-own-"


def temporary_folder() -> Path:
    """The folder for this process' temporary files; it goes when the process ends, at the latest when another begins.

    Its path is short, so that a socket can lie in it.
    """
    return _of_process(os.getpid())


@contextmanager
def temporary() -> Iterator[Path]:
    """An empty folder that is removed at the end."""
    folder = Path(tempfile.mkdtemp(dir=temporary_folder(), prefix=""))
    try:
        yield folder
    finally:
        with suppress(OSError):
            remove(folder)


@cache
def _of_process(pid: int) -> Path:
    base = Path(tempfile.gettempdir()).resolve()
    for left in base.glob(f"{PREFIX}*"):
        with suppress(OSError):  # it is another user's, or locked: its process lives
            lock = _locked(left, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove(left)
            os.close(lock)
    own = Path(tempfile.mkdtemp(dir=base, prefix=PREFIX))
    try:
        _locked(own, fcntl.LOCK_EX)  # until the end of the process
        own.lstat()
    except FileNotFoundError:  # a process that began at the same moment took it for one that is left
        return _of_process(pid)
    atexit.register(_leave, own, pid)
    return own


def _locked(folder: Path, how: int) -> int:
    """A descriptor of the folder that holds its lock, where the file system has locks. Raises OSError if another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        if how & fcntl.LOCK_NB:  # or there are no locks here: whether its process lives cannot be told
            os.close(descriptor)
            raise
    return descriptor


def _leave(own: Path, pid: int) -> None:
    if os.getpid() == pid:
        with suppress(OSError):
            remove(own)
