"""The machine's sockets that have a path, where a sandbox would show them: to be connected to, a socket has only to be seen."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from branchline.sandbox.mounts import Mount, seen

TABLE = "/proc/net/unix"


def listening() -> Iterator[Path]:
    """Where the sockets of this machine's programs are, as far as the kernel tells: those without a relative path."""
    try:
        with open(TABLE, "rb") as file:
            rows = [line.rstrip(b"\n").split(None, 7) for line in file]
    except OSError:
        return
    known: dict[str, str] = {}
    for text in dict.fromkeys(os.fsdecode(row[7]) for row in rows if len(row) == 8 and row[7].startswith(b"/")):
        folder, name = os.path.split(text)
        if folder not in known:
            known[folder] = os.path.realpath(folder)
        yield Path(known[folder], name)


def sights_of(sockets: Iterator[Path], mounts: Sequence[Mount]) -> Iterator[Path]:
    """Every place at which one of some sockets is seen."""
    shown = [(one, f"{one.source}/") for one in mounts if one.mode not in {"empty", "closed"}]
    starts = tuple(text for _, text in shown)
    for path in sockets:
        text = str(path)
        if text.startswith(starts):
            for one, start in shown:
                place = one.place / text[len(start) :]
                if text.startswith(start) and seen(place, mounts) == path and _is_socket(text):
                    yield place


def _is_socket(path: str) -> bool:
    """Whether there is one still, as far as we may see: what we may not, the sandbox cannot reach either."""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False
