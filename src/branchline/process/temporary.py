"""Folders for temporary files that are gone after us, even if we are killed: the next start sees to it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def temporary() -> Iterator[Path]:
    """An empty folder that is removed at the end. Its path is short, so that a socket can lie in it."""
    folder, lock = _new()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear() -> None:
    """Remove such folders of processes that have died: nobody holds their locks."""
    with suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
            with suppress(OSError):  # its owner lives, or it is another user's
                lock = _locked(folder, fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _new() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_prefix())).resolve()
        with suppress(FileNotFoundError):
            lock = _locked(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)  # it was taken for a dead one's before it had its lock


def _prefix() -> str:
    return f"branchline-{os.getuid()}-"


def _locked(folder: Path, how: int = 0) -> int:
    """A descriptor of a folder that holds its lock. Raises BlockingIOError if another process holds it, with LOCK_NB."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError:
        if how:  # else the file system has no locks, and what is left there stays
            os.close(descriptor)
            raise
    return descriptor
