"""Following a stream that grows in a file, line by line."""

import math
import os
import time
from pathlib import Path

from branchline.agents.base import Reader
from branchline.process.output import open_regular

CHUNK = 1 << 18
LONGEST_LINE = 16 << 20  # bytes; what is longer is no event of any agent, and must not fill our memory
A_LOOK = 16 << 20  # bytes read at one look at most
A_MOMENT = 0.3  # seconds of work at one look at most, so that a flood does not keep us from watching the clock
AT_LAST = 5.0  # seconds of work for what is left when the process has ended
THE_END = 1 << 20  # bytes of it that are read of a flood all the same: the verdict stands at the end


class Follower:
    """Feeds a reader with the lines of a file as they come; `skipped`: part of a flood was left out."""

    def __init__(self, path: Path, reader: Reader) -> None:
        """The file need not exist yet; a link, a pipe or a device in its place is never read."""
        self._path, self._reader = path, reader
        self._descriptor: int | None = None
        self._rest = bytearray()
        self._dropping = False
        self.skipped = False

    def follow(self, most: int = A_LOOK) -> bool:
        """Read on, at most `most` bytes and not for long; whether there was anything."""
        if self._descriptor is None:
            self._descriptor = open_regular(self._path)
        if self._descriptor is None:
            return False
        taken, until = 0, time.thread_time() + A_MOMENT
        while taken < most and (data := os.read(self._descriptor, CHUNK)):
            taken += len(data)
            *ended, rest = data.split(b"\n")
            for part in ended:
                if not self._dropping:
                    self._reader.line(bytes(self._rest) + part)
                self._rest.clear()
                self._dropping = False
            self._rest += rest
            if len(self._rest) > LONGEST_LINE:
                self._rest.clear()
                self._dropping = True
            if time.thread_time() > until:
                break
        return taken > 0

    def finish(self) -> None:
        """Read what is left, the last line also without its newline; of a flood, what can be read in time, and its end."""
        until = time.thread_time() + AT_LAST
        while self.follow():
            if time.thread_time() > until:
                # Go on near the end of the file, with the first line that begins there.
                assert self._descriptor is not None
                here, there = os.lseek(self._descriptor, 0, os.SEEK_CUR), os.fstat(self._descriptor).st_size - THE_END
                if here < there:
                    os.lseek(self._descriptor, there, os.SEEK_SET)
                    self.skipped = True
                    self._rest.clear()
                    self._dropping = True
                until = math.inf
        if self._rest and not self._dropping:
            self._reader.line(bytes(self._rest))
        self._rest.clear()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
