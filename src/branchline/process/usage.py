"""What a tree of processes uses at this moment, as /proc tells; a system without one tells nothing."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FRESH = 0.015  # seconds for which one look at all processes serves every attempt


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
