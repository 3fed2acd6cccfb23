"""Keeping a running attempt within its limits, and telling truly which of them it reached."""

import errno
import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from branchline.core.durations import seconds
from branchline.core.model.limits import ProcessLimits
from branchline.process.confinement import MB
from branchline.process.containment import Contained
from branchline.process.output import tail
from branchline.process.usage import Growth, Processes, proportional, tree, usage

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # bytes of memory
AUTO_SHARE = 0.9  # of it
TICK, NEAR_TICK = 0.2, 0.02  # seconds between two looks: usually, and past half of a limit
CROWD_TICK = 0.05  # seconds between two looks at the number of all of the machine's processes
BOMBS = frozenset({"process_limit", "memory_limit"})
"""Ends that cannot wait: while they are asked to end, they would fill the machine."""
TAIL = 4096
_PROCESSES = Processes()


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
        self._memory = math.inf if limits.memory_mb is None else AUTO_SHARE * MACHINE
        if isinstance(limits.memory_mb, int):
            self._memory = limits.memory_mb * MB
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
        self.peak = max(self.peak, memory)
        most = self._limits.processes or math.inf
        near = max(memory / self._memory, cpu / self._cpu, len(members) / most)
        self._near = near > 0.5
        if len(members) > most:
            return "process_limit"
        if cpu > self._cpu:
            return "cpu_limit"
        # The quick sum counts shared memory once for each process; it is enough to acquit, not to condemn.
        if memory > self._memory and proportional(members, processes) > self._memory:
            return "memory_limit"
        return None


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
        files = (Path(place, name) for folder in grows for place, _, names in os.walk(folder) for name in names)
        return "file_limit" if any(_size(path) >= most for path in files) else None
    return None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
