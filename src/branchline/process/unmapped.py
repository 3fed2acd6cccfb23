"""Memory that no process is charged with: what was written to file systems in memory, and to files without a name.

It is looked for only once the whole machine has more of it than when the attempt began, which costs next to nothing to
learn. What only the kernel holds, such as the contents of pipes, is counted by a control group alone.
"""

import os
import re
from collections.abc import Iterable, Iterator

from branchline.core.rules.linear import compiled

INODE = 1024  # bytes, about, that a file in memory takes besides its content
IGNORED = 64 << 20  # bytes that the machine may have more of before it is looked at closely
SHARED = compiled(rb"^(?:Shmem|SUnreclaim):\s+(\d+) kB", re.MULTILINE)  # content, and names of files among others
MAPPING = compiled(rb"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) \d+\s*(.*)$")
NAMELESS = "/memfd:"


class Unmapped:
    """What an attempt holds of it, since this was made."""

    def __init__(self, most: float) -> None:
        """`most`: bytes of memory that the attempt may have."""
        self._least, self._slack = _shared(), min(IGNORED, most / 16)
        self._ours = {device for device, _ in _in_memory("self")}

    def held(self, members: Iterable[int]) -> tuple[int, frozenset[int]]:
        """Bytes that some processes hold so, and the devices that these bytes are on."""
        now = _shared()
        self._least = min(self._least, now)
        if now - self._least <= self._slack:
            return 0, frozenset()
        found: dict[tuple[int, int], int] = {}
        devices: set[int] = set()
        seen: set[str] = set()
        for pid in members:
            try:
                namespace = os.readlink(f"/proc/{pid}/ns/mnt")
            except OSError:
                continue
            if namespace not in seen:
                seen.add(namespace)
                for device, place in _in_memory(str(pid)):
                    if device not in self._ours and (device, 0) not in found:
                        devices.add(device)
                        found[device, 0] = _used(f"/proc/{pid}/root{place}")
            found |= _nameless(pid)
        return sum(found.values()), frozenset(devices)


def apart(pid: int, devices: frozenset[int]) -> int:
    """Bytes of memory that a process has in use, shared ones in part, without files in memory that `held` has counted."""
    total, counts = 0, True
    with open(f"/proc/{pid}/smaps", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                total += int(line.split()[1]) * 1024 if counts else 0
            elif found := MAPPING.match(line):
                device = os.makedev(int(found[1], 16), int(found[2], 16))
                counts = device not in devices and not found[3].startswith(NAMELESS.encode())
    return total


def _shared() -> int:
    """Bytes of the machine's memory that such files are among."""
    try:
        with open("/proc/meminfo", "rb") as file:
            return sum(map(int, SHARED.findall(file.read()))) * 1024
    except OSError:
        return 0


def _in_memory(pid: str) -> Iterator[tuple[int, str]]:
    """The file systems in memory that a process sees: the device of each, and where it is mounted."""
    try:
        with open(f"/proc/{pid}/mountinfo", "rb") as file:
            rows = [line.split(b" ") for line in file]
    except OSError:
        return
    for row in rows:
        # What is written to a sandbox's overlays lies in the file system of its topmost folder.
        if row[row.index(b"-") + 1] in {b"tmpfs", b"ramfs"}:
            major, _, minor = row[2].partition(b":")
            yield os.makedev(int(major), int(minor)), os.fsdecode(row[4].replace(b"\\040", b" "))


def _used(place: str) -> int:
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    return (found.f_blocks - found.f_bfree) * found.f_frsize + (found.f_files - found.f_ffree) * INODE


def _nameless(pid: int) -> dict[tuple[int, int], int]:
    """Files without a name that a process has open."""
    found = {}
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            if os.readlink(f"{folder}/{name}").startswith(NAMELESS):
                one = os.stat(f"{folder}/{name}")
                found[one.st_dev, one.st_ino] = one.st_blocks * 512
    except OSError:  # it has ended, or is another user's
        pass
    return found
