"""The end of what a process wrote, read safely: its writer may have put anything at that path."""

import hashlib
import os
import stat
from pathlib import Path

from branchline.core.rules.linear import compiled

CONTROL = compiled(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # terminal colours and cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def tail(path: Path, limit: int) -> bytes:
    """The last `limit` bytes of a regular file; nothing if it is missing, a link, a pipe or a device."""
    descriptor = open_regular(path)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - limit))
        return file.read(limit)


def head(path: str | Path, limit: int) -> bytes:
    """The first bytes of a regular file, at most `limit`; nothing of what `open_regular` does not open."""
    return content_of(path, limit) or b""


def content_of(path: str | Path, limit: int = -1) -> bytes | None:
    """The content of a regular file, or at most `limit` bytes of it; None for everything else."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def open_regular(path: str | Path) -> int | None:
    """A descriptor of a regular file; None for a link, a device, a pipe, and what is not there or not for us."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # a name that stands in a file of an agent's may hold a NUL
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def digest_of(path: str | Path) -> str | None:
    """The SHA-256 of a regular file; None for everything else."""
    descriptor = open_regular(path)
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def readable(data: bytes) -> str:
    """Output as text that is safe to show on a terminal: valid, without control sequences."""
    return CONTROL.sub("", data.decode("utf-8", "replace"))


def last_line(data: bytes) -> str:
    """The last line that says something; empty if none does."""
    lines = readable(data).split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
