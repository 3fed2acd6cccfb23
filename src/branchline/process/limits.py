"""Keeping a running attempt within its limits, and telling truly which of them it reached."""

import errno
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from branchline.core.durations import seconds
from branchline.core.model.limits import ProcessLimits
from branchline.process.containment import MB, Contained
from branchline.process.output import tail
from branchline.process.trees import walk
from branchline.process.unmapped import Unmapped, apart

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # bytes of memory
AUTO_SHARE = 0.9  # of it
TICK, NEAR_TICK = 0.2, 0.02  # seconds between two looks: usually, and past half of a limit
CROWD_TICK = 0.05  # seconds between two looks at the number of all of the machine's processes
BOMBS = frozenset({"process_limit", "memory_limit"})
"""Ends that cannot wait: while they are asked to end, they would fill the machine."""
TAIL = 4096
FRESH = 0.015  # seconds for which one look at all processes serves every attempt
AT_LEAST = 10.0  # seconds between two looks at all files, if the disk does not fill up
SHARE = 50  # as many times as long as a look takes there is none
SLICE, URGENT = 0.005, 0.1  # seconds that we may be busy with it at once
STEP = 256  # files


class Watch:
    """Looks at a running attempt: its output, its processes, its disk space, and whatever else its owner looks at."""

    def __init__(
        self,
        limits: ProcessLimits,
        contained: Contained,
        outputs: Sequence[int],
        grows: Sequence[Path] = (),
        also: Callable[[], str | None] | None = None,
    ) -> None:
        """`outputs`: descriptors of the files that it writes; `also` returns a reason of its own to end it."""
        self._limits, self._contained, self._outputs, self._also = limits, contained, outputs, also
        self._memory = most_memory(limits)
        self._unmapped = Unmapped(self._memory) if self._memory < math.inf else None
        self._cpu = math.inf if limits.cpu is None else seconds(limits.cpu)
        self._silence = None if limits.silence is None else seconds(limits.silence)
        self._growth = Growth(grows, limits.disk_mb * MB) if grows and limits.disk_mb is not None else None
        self._sampled = self._memory < math.inf or self._cpu < math.inf or limits.processes is not None
        self._crowd = _crowd() if limits.processes is not None else 0
        self._printed = 0
        self._heard = time.monotonic()
        self._near = False
        self._due = self._heard + TICK
        self._slowest = TICK if limits.processes is None else CROWD_TICK
        self._tick = NEAR_TICK
        self.peak = 0  # bytes of memory

    @property
    def pause(self) -> float:
        """Seconds until the next look should come."""
        return max(0.0, min(self._tick, self._due - time.monotonic()))

    def look(self) -> str | None:
        """The reason to end it now, if there is one."""
        now = time.monotonic()
        reason = self._output(now)
        # A bomb grows in no time: has the machine so many more processes that it may be this one's doing?
        most = self._limits.processes
        if reason is None and (now >= self._due or (most is not None and _crowd() - self._crowd > most / 2)):
            reason = self._usage() if self._sampled else None
            if reason is None and self._growth is not None and self._growth.exceeded():
                reason = "disk_limit"
            reason = reason or (self._also() if self._also is not None else None)
            self._due = now + (NEAR_TICK if self._near else TICK)
        return reason

    def _output(self, now: float) -> str | None:
        sizes = [os.fstat(one).st_size for one in self._outputs]
        most = math.inf if self._limits.output_mb is None else self._limits.output_mb * MB
        if max(sizes) > most:
            return "output_limit"
        news = sum(sizes) - self._printed
        # It may print a gigabyte a second: looked at often in the beginning, and whenever much has come.
        self._tick = NEAR_TICK if news > most / 16 else min(self._slowest, self._tick * 2)
        if news:
            self._printed, self._heard = sum(sizes), now
        return "silence" if self._silence is not None and now - self._heard >= self._silence else None

    def cut(self) -> None:
        """Take away what was printed past the limit while nobody looked."""
        if self._limits.output_mb is not None:
            for one in self._outputs:
                if os.fstat(one).st_size > self._limits.output_mb * MB:
                    os.ftruncate(one, self._limits.output_mb * MB)

    def _usage(self) -> str | None:
        self._crowd = _crowd()
        processes, top = _PROCESSES.now(), self._contained.pid
        members = tree(top, processes)
        if self._contained.method == "group" and top in processes:  # elsewhere it is ours, not the command's
            members.append(top)
        cpu, memory = usage(members, processes, top)
        held, devices = self._unmapped.held(members) if self._unmapped else (0, frozenset[int]())
        memory += held
        self.peak = max(self.peak, memory)
        most = self._limits.processes or math.inf
        near = max(memory / self._memory, cpu / self._cpu, len(members) / most)
        self._near = near > 0.5
        if len(members) > most:
            return "process_limit"
        if cpu > self._cpu:
            return "cpu_limit"
        # The quick sum counts shared memory once for each process; it is enough to acquit, not to condemn.
        if memory > self._memory and held + proportional(members, processes, devices) > self._memory:
            return "memory_limit"
        return None


def most_memory(limits: ProcessLimits) -> float:
    """Bytes of memory that may be in use."""
    if isinstance(limits.memory_mb, int):
        return limits.memory_mb * MB
    return math.inf if limits.memory_mb is None else AUTO_SHARE * MACHINE


def _crowd() -> int:
    """The number of all processes and threads of the machine, which costs next to nothing to learn."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read().split()[3].partition(b"/")[2])
    except OSError:
        return 0


def cause(limits: ProcessLimits, code: int, outputs: Sequence[Path], grows: Sequence[Path]) -> str | None:
    """The limit that a process ran into by itself, of those that `rlimits` set; None if there is no sign of one.

    `code` is its exit code, or less the number of its signal; a shell's code for a signal of its command counts as well.
    """
    number = -code if code < 0 else code - 128
    if number == signal.SIGXCPU and limits.cpu is not None:
        return "cpu_limit"
    if limits.file_mb is None or code == 0:
        return None
    most = limits.file_mb * MB
    if any(_size(path) >= most for path in outputs):
        return "output_limit"
    if number == signal.SIGXFSZ:
        return "file_limit"
    # Where the signal is ignored a program only says so; it is believed if there is such a file.
    said = os.strerror(errno.EFBIG).encode()
    if any(said in tail(path, TAIL) for path in outputs):
        files = (inside.look(name) for folder in grows for inside in walk(folder) for name in inside.names)
        return "file_limit" if any(found and found.st_size >= most for found in files) else None
    return None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `ticks`: processor time, with that of its children that are gone; `pages`: memory in use."""

    parent: int
    session: int
    ticks: int
    reaped: int
    pages: int


class Processes:
    """All processes of the machine, looked at for all who ask, but not more often than serves a purpose."""

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


_PROCESSES = Processes()


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


def proportional(
    members: Sequence[int], processes: Mapping[int, Process], counted: frozenset[int] = frozenset()
) -> int:
    """Bytes of memory that some processes use together, what they share counted once; slower than `usage`.

    Files on the devices in `counted` are left out, if there are any.
    """
    total = 0
    for pid in members:
        own = processes[pid].pages * os.sysconf("SC_PAGE_SIZE")
        try:
            own = apart(pid, counted) if counted else _rolled_up(pid)
        except ProcessLookupError:
            own = 0
        except OSError:  # it may not be looked at so closely
            pass
        total += own
    return total


def _rolled_up(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # it says nothing of a process that is ending
        return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), 0)


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
            for inside in walk(folder):
                for name in inside.names:
                    seen += 1
                    if seen % STEP == 0:
                        yield total
                    found = inside.look(name)
                    if found is None:
                        continue
                    inode = (found.st_dev, found.st_ino)
                    if found.st_ctime_ns >= self._since and inode not in linked:
                        total += found.st_blocks * 512
                        if found.st_nlink > 1:
                            linked.add(inode)
        yield total
