"""How much the folders of an attempt have grown since it began, looked at a little at a time."""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

AT_LEAST = 10.0  # seconds between two looks at all files, if the disk does not fill up
SHARE = 50  # as many times as long as a look takes there is none
SLICE, URGENT = 0.005, 0.1  # seconds that we may be busy with it at once
STEP = 256  # files


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
