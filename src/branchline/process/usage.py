"""What an attempt uses: its processes at this moment, as far as there is a /proc, and disk space since it began."""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

FRESH = 0.015  # seconds for which one look at all processes serves every attempt
AT_LEAST = 10.0  # seconds between two looks at all files, if the disk does not fill up
SHARE = 50  # as many times as long as a look takes there is none
SLICE, URGENT = 0.005, 0.1  # seconds that we may be busy with it at once
STEP = 256  # files


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `ticks`: processor time, with that of its children that are gone; `pages`: memory in use."""

    parent: int
    session: int
    ticks: int
    reaped: int
    pages: int


class Processes:
    """All processes of the machine, looked at for whoever asks, but not more often than serves a purpose."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, Process] = {}
        self._at = 0.0

    def now(self) -> Mapping[int, Process]:
        """Every process by its number, zombies too."""
        with self._lock:
            if time.monotonic() - self._at > FRESH:
                self._seen = dict(filter(None, map(_look, os.listdir("/proc")))) if os.path.isdir("/proc/self") else {}
                self._at = time.monotonic()
            return self._seen


def tree(top: int, processes: Mapping[int, Process]) -> list[int]:
    """The descendants of `top`, and what is in its session; without itself."""
    children: dict[int, list[int]] = {}
    for pid, one in processes.items():
        children.setdefault(one.parent, []).append(pid)
    found = {pid for pid, one in processes.items() if one.session == top}
    waiting = [top, *found]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), ()) if pid not in found]
        found.update(new)
        waiting += new
    return sorted(found - {top})


def usage(members: Sequence[int], processes: Mapping[int, Process], buried_by: int) -> tuple[float, int]:
    """Seconds of the processor and bytes of memory that some processes use; time that others used counts if a member or `buried_by` has waited for their end."""
    found = [processes[pid] for pid in members]
    ticks = sum(one.ticks + one.reaped for one in found)
    if buried_by not in members and buried_by in processes:
        ticks += processes[buried_by].reaped
    pages = sum(one.pages for one in found)
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def proportional(members: Sequence[int], processes: Mapping[int, Process]) -> int:
    """Bytes of memory that some processes use together, what they share counted once; slower than `usage`."""
    total = 0
    for pid in members:
        own = processes[pid].pages * os.sysconf("SC_PAGE_SIZE")
        try:
            with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
                own = next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), own)
        except ProcessLookupError:
            own = 0
        except OSError:  # it may not be looked at so closely
            pass
        total += own
    return total


def _look(entry: str) -> tuple[int, Process] | None:
    if not entry.isdigit():
        return None
    try:
        with open(f"/proc/{entry}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    user, system, reaped_user, reaped_system = map(int, fields[11:15])
    one = Process(int(fields[1]), int(fields[3]), user + system, reaped_user + reaped_system, int(fields[21]))
    return int(entry), one


class Growth:
    """The disk space of files that were written or changed since this was made.

    A file that is changed counts whole, so it errs on the high side for one that was large before. Space that other
    processes hold in removed files does not count.
    """

    def __init__(self, folders: Sequence[Path], limit: int) -> None:
        """`limit`: bytes."""
        self._folders = [os.fspath(folder) for folder in folders]
        self._limit = limit
        self._since = time.time_ns()
        self._free = self._space()
        self._looked = self._began = time.monotonic()
        self._took = 0.0
        self._walk: Iterator[int] | None = None

    def exceeded(self) -> bool:
        """Whether they have grown by more than the limit, as far as is known by now."""
        urgent = self._free - self._space() > self._limit / 4
        now = time.monotonic()
        if self._walk is None:
            if not urgent and now - self._looked < max(AT_LEAST, SHARE * self._took):
                return False
            self._walk, self._began, self._free = self._sizes(), now, self._space()
        until = now + (URGENT if urgent else SLICE)
        for size in self._walk:
            if size > self._limit:
                return True
            if time.monotonic() > until:
                return False
        self._walk, self._looked = None, time.monotonic()
        self._took = self._looked - self._began
        return False

    def _space(self) -> int:
        """The free space where the first folder is; what matters is by how much it shrinks."""
        try:
            found = os.statvfs(self._folders[0])
        except OSError:
            return 0
        return found.f_bavail * found.f_frsize

    def _sizes(self) -> Iterator[int]:
        """The sum so far, now and then."""
        total = seen = 0
        linked: set[tuple[int, int]] = set()
        for folder in self._folders:
            for place, _, names in os.walk(folder):
                for name in names:
                    seen += 1
                    if seen % STEP == 0:
                        yield total
                    try:
                        found = os.lstat(os.path.join(place, name))
                    except OSError:
                        continue
                    inode = (found.st_dev, found.st_ino)
                    if found.st_ctime_ns >= self._since and inode not in linked:
                        total += found.st_blocks * 512
                        if found.st_nlink > 1:
                            linked.add(inode)
        yield total
