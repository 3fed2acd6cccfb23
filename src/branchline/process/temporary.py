"""Temporary files of this process: in one folder, which the next process removes if this one is killed.

A process that is killed removes nothing. It holds a lock on its folder for as long as it lives, so another can tell that it
is dead, also from another PID namespace.
"""

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


def temporary_folder() -> Path:
    """The folder for this process' temporary files; it goes when the process ends, at the latest when another begins.

    Its path is short, so that a socket can lie in it.
    """
    return _of_process(os.getpid())


@contextmanager
def temporary() -> Iterator[Path]:
    """An empty folder that is removed at the end."""
    with tempfile.TemporaryDirectory(dir=temporary_folder(), prefix="", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@cache
def _of_process(pid: int) -> Path:
    base = Path(tempfile.gettempdir()).resolve() / f"branchline-tmp-{os.getuid()}"
    turn = None
    while turn is None:
        with suppress(FileExistsError):
            base.mkdir(mode=0o700)
        with suppress(FileNotFoundError):  # the process that used it last has just removed it
            found = base.lstat()
            private = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if not private or found.st_uid != os.getuid():  # all users may write there, and one has made it
                return Path(tempfile.mkdtemp(prefix="branchline-"))
            turn = _locked(base, fcntl.LOCK_EX)
            if not os.path.samestat(base.stat(), os.fstat(turn)):
                os.close(turn)
                turn = None
    try:
        for entry in base.iterdir():
            with suppress(OSError):  # it is locked: its process lives
                os.close(_locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB))
                shutil.rmtree(entry, ignore_errors=True)
        own = Path(tempfile.mkdtemp(dir=base, prefix=""))
        _locked(own, fcntl.LOCK_EX)  # until the end of the process
    finally:
        os.close(turn)
    atexit.register(_leave, own, pid)
    return own


def _locked(folder: Path, how: int) -> int:
    """A descriptor of the folder that holds its lock, where the file system has locks. Raises OSError if another has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        if how & fcntl.LOCK_NB:  # no locks here: nobody can tell whether its process lives
            os.close(descriptor)
            raise
    return descriptor


def _leave(own: Path, pid: int) -> None:
    if os.getpid() == pid:
        shutil.rmtree(own, ignore_errors=True)
        with suppress(OSError):
            own.parent.rmdir()
