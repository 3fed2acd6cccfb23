"""Folders for temporary files that are gone after us, even if we are killed: the next one to need such a folder sees to it."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TOP = "branchline"


@contextmanager
def temporary() -> Iterator[Path]:
    """An empty folder that is removed at the end. Its path is short, so that a socket can lie in it."""
    with _top() as top:
        folder = Path(tempfile.mkdtemp(dir=top, prefix=""))
        # Whoever holds its lock lives.
        lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def clear() -> None:
    """Remove such folders of processes that have died."""
    with suppress(OSError), _top() as top:
        for folder in top.iterdir():
            lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                with suppress(OSError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


@contextmanager
def _top() -> Iterator[Path]:
    """The folder of all of these; nobody else makes or clears one meanwhile. Raises OSError if it is another user's."""
    top = Path(tempfile.gettempdir()).resolve() / f"{TOP}-{os.getuid()}"
    top.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(top, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.getuid():
            raise PermissionError(f"{top} belongs to another user")
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield top
    finally:
        os.close(lock)
