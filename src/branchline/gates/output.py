"""The end of what a gate printed, as text that is safe to show."""

import os
import re
import stat
from pathlib import Path

CONTROL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # terminal colours and cursor moves
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles, links
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def tail(path: Path, characters: int) -> str:
    """The last characters of a regular file; nothing if it is missing, a link, a pipe or a device."""
    try:
        with open(path, "rb", opener=_cautiously) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ""
            file.seek(max(0, status.st_size - 4 * characters))
            data = file.read(4 * characters)
    except OSError:
        return ""
    return CONTROL.sub("", data.decode("utf-8", "replace"))[-characters:]


def _cautiously(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def shown(path: str) -> str:
    """A file name on one line and as valid text, whatever bytes it holds."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
