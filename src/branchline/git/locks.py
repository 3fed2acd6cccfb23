"""Locks that gits of ours left when they were killed: taken away only where no living git can hold them.

A git that is killed leaves the locks that it held, and every later one would fail at them. Those of a run's own refs are
ours; those of others (the target, the tag, HEAD) are ours if they came while our git ran, and say what it wrote, or nothing.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from branchline.process.sweep import MARKER

PATIENCE = 10.0  # seconds that other gits may take to end
UNSEEN_SECONDS = 3.0
Seen = Mapping[Path, tuple[int, bytes]]


def seen(locks: Iterable[Path]) -> dict[Path, tuple[int, bytes]]:
    """Those of the locks that are there, with what tells them from others."""
    found = {}
    for lock in locks:
        with suppress(OSError):
            found[lock] = (lock.lstat().st_ino, lock.read_bytes().strip())
    return found


def release(found: Seen, folders: Iterable[Path], *, strangers: Callable[[Iterable[Path]], bool] | None = None) -> bool:
    """Remove locks that no living git holds: each must stay as it is until there is no other git in these folders.

    Whether all of them are gone. No git of ours may be moving refs meanwhile.
    """
    places, at_work, until = [*folders], strangers or others_at_work, time.monotonic() + PATIENCE
    if not os.path.isdir("/proc/self"):  # nothing can be asked: a lock of a living git does not stay as long
        time.sleep(UNSEEN_SECONDS)
    while at_work(places):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    for lock, was in seen(found).items():
        if was == found[lock]:
            lock.unlink(missing_ok=True)
    return not seen(found)


def others_at_work(folders: Iterable[Path]) -> bool:
    """Whether a git that is not ours works in one of these folders; it reads /proc, and without one it sees nothing."""
    names = [os.fsencode(folder.resolve()) for folder in folders]
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        with suppress(OSError):
            if entry.isdigit() and Path(f"/proc/{entry}/comm").read_bytes().startswith(b"git") and not _is_ours(entry):
                words, cwd = Path(f"/proc/{entry}/cmdline").read_bytes(), b""
                with suppress(PermissionError):
                    cwd = os.fsencode(os.readlink(f"/proc/{entry}/cwd"))
                if any(cwd == name or cwd.startswith(name + b"/") or name in words for name in names):
                    return True
    return False


def _is_ours(entry: str) -> bool:
    """Whether a process is a git of ours, an agent's or a gate's: its environment names its run."""
    state = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b")")[2].split()
    dead, child = state[0] == b"Z", int(state[1]) == os.getpid()
    with suppress(PermissionError):  # another user's
        return dead or child or f"\0{MARKER}=".encode() in b"\0" + Path(f"/proc/{entry}/environ").read_bytes()
    return dead
