"""What a ledger asks of a disk, and the two files that it has on a real one: its records, and the mark beside them."""

import os
from pathlib import Path
from typing import Protocol

from branchline.ledger.paths import RunPaths


class Disk(Protocol):
    """Where the one writer of a ledger puts its bytes. Every method raises OSError as the system does."""

    def append(self, data: bytes) -> int:
        """Write at the end of the ledger; how many bytes were taken, as `os.write`."""

    def sync(self) -> None:
        """Make what was appended durable."""

    def cut(self, size: int) -> None:
        """Cut the ledger to that many bytes, durably."""

    def mark(self, line: bytes) -> None:
        """Replace the high-water mark; it may be lost, and is never synced."""

    def close(self) -> None:
        """Close the files."""


class Files:
    """The files of a run's folder."""

    def __init__(self, paths: RunPaths) -> None:
        self._ledger = os.open(paths.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._head = os.open(paths.head, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        sync_folder(paths.ledger.parent)

    def append(self, data: bytes) -> int:
        """One write."""
        return os.write(self._ledger, data)

    def sync(self) -> None:
        """One sync."""
        _datasync(self._ledger)

    def cut(self, size: int) -> None:
        """Truncate and sync."""
        os.ftruncate(self._ledger, size)
        os.fsync(self._ledger)

    def mark(self, line: bytes) -> None:
        """In place: marks are all of one length."""
        os.pwrite(self._head, line, 0)

    def close(self) -> None:
        """Both."""
        os.close(self._ledger)
        os.close(self._head)


_datasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


def sync_folder(folder: Path) -> None:
    """Make a folder's entries durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
