"""A disk for one ledger: it can be full, fail, lose its power; and it shows every durable record to a watcher."""

import errno
import os
from collections.abc import Callable

from branchline.ledger.log import Disk
from simulated.fate import Died, Fate


class SimDisk(Disk):
    """A disk in memory. `trouble`: how likely each write or sync is to fail."""

    def __init__(self, fate: Fate, trouble: float) -> None:
        self.fate, self.trouble = fate, trouble
        self.watch: Callable[[bytes], object] = len
        self.data, self.marks = bytearray(), [b""]
        self._seen = 0
        self._synced = 0
        self.refused = False

    def append(self, data: bytes) -> int:
        """All of it, or the beginning: of a full disk, or of a coordinator that dies while it writes."""
        chance = self.fate.chance
        try:
            self.fate.effect()
        except Died:
            self.data += data[: chance.randrange(len(data) + 1)]
            raise
        if self.fate.happens(self.trouble):
            if self.fate.happens(0.5):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            data = data[: chance.randrange(len(data))]
        self.data += data
        return len(data)

    def sync(self) -> None:
        """Durable; or an error, and nobody knows."""
        self.fate.effect()
        if self.fate.happens(self.trouble):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._synced = len(self.data)
        self.show()

    def cut(self, size: int) -> None:
        """Back to a size; a disk in trouble may refuse that too."""
        self.fate.effect()
        self.refused = self.fate.happens(self.trouble * 10)
        if self.refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        del self.data[size:]
        self._synced = size

    def mark(self, line: bytes) -> None:
        """Replace the mark; never synced."""
        self.fate.effect()
        if self.fate.happens(self.trouble):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.marks.append(line)

    def close(self) -> None:
        """Nothing is held."""

    def show(self) -> None:
        """Hand over the whole records that the watcher has not seen: they are there to stay."""
        end = self.data.rfind(b"\n") + 1
        for line in bytes(self.data[self._seen : end]).splitlines():
            self.watch(line)
        self._seen = max(self._seen, end)

    def lose_power(self) -> None:
        """What was not synced is cut off anywhere, or is zeros; the mark is any of those that were written."""
        chance, kept = self.fate.chance, self._synced
        rest = len(self.data) - kept
        if rest:
            size = chance.randrange(rest + 1)
            self.data[kept + size :] = bytes(chance.choice((0, 16)))
        self._synced = len(self.data)
        self.marks = self.marks[: chance.randrange(1, len(self.marks) + 1)]

    def mark_read(self) -> tuple[int, str] | None:
        """The mark as the ledger's reader would have it."""
        number, _, sha = self.marks[-1].decode().strip().partition(" ")
        return (int(number), sha) if number else None
