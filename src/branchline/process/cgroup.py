"""A control group for one attempt, where the system lets us make one: the kernel itself bounds its memory and processes.

It adds to the looks at the attempt, which go on all the same. Memory is bounded only where somebody has set an amount:
what the kernel counts includes files that it keeps in memory, so it is no measure for what nobody asked to be bounded.
"""

import itertools
import os
from contextlib import suppress
from pathlib import Path

MOUNT = Path("/sys/fs/cgroup")
_NUMBERS = itertools.count(1)


class ControlGroup:
    """One control group of version 2 with limits. What joins it stays in it with all that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def made(cls, memory: int | None, tasks: int | None, mount: Path = MOUNT) -> "ControlGroup | None":
        """A group that may use `memory` bytes and have `tasks` processes and threads, if any of them is bounded.

        None if the system gives us none with these limits.
        """
        if memory is None and tasks is None:
            return None
        own = _own(mount)
        # A group with processes in it passes no controller on: where ours cannot have a child, it may have a sibling.
        for parent in (own, own.parent) if own is not None else ():
            made = cls(parent / f"branchline-{os.getpid()}-{next(_NUMBERS)}")
            try:
                made.folder.mkdir()
                if memory is not None:
                    made._set("memory.oom.group", "1")
                    made._set("memory.max", str(memory))
                if tasks is not None:
                    made._set("pids.max", str(tasks))
            except OSError:
                made.remove()
                continue
            return made
        return None

    def _set(self, name: str, value: str) -> None:
        # Without O_CREAT: in a group without that controller there is no such file.
        descriptor = os.open(self.folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, value.encode())
        finally:
            os.close(descriptor)

    @property
    def ran_out(self) -> bool:
        """Whether the kernel has killed something in it for want of memory."""
        try:
            lines = (self.folder / "memory.events").read_text().splitlines()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in lines)

    def remove(self) -> None:
        """Give the group back; it must be empty by then."""
        with suppress(OSError):
            self.folder.rmdir()


def _own(mount: Path) -> Path | None:
    """Our own group's folder."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    path = next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
    # The topmost one has no limits, and no sibling either.
    return mount / path if path and (mount / path / "cgroup.controllers").exists() else None
