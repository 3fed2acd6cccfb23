"""What indexing says of itself: after a second, on a terminal, one line that is gone when it has ended."""

import sys
import time
from contextlib import suppress

from branchline.cli.output import is_live

PATIENCE, PAUSE = 1.0, 0.1  # seconds until there is something to see, and between two looks
ERASE = "\r\x1b[K"


class Indexing:
    """Hears how far indexing has come. `files` new ones have been indexed, `elapsed_ms` after it was made."""

    def __init__(self) -> None:
        self.files = 0
        self.elapsed_ms = 0
        self._began = time.monotonic()
        self._next = self._began + PATIENCE
        self._is_live = is_live(sys.stderr)
        self._is_shown = False

    def hear(self, done: int, total: int) -> None:
        """Take note that so many files are indexed, of so many that were to be."""
        now = time.monotonic()
        self.files, self.elapsed_ms = done, round((now - self._began) * 1000)
        if done >= total:
            self._draw("")
        elif self._is_live and now >= self._next:
            self._next = now + PAUSE
            self._draw(f"indexing {done:,} of {total:,} files")

    def end(self) -> None:
        """Take the line away."""
        self._draw("")

    def _draw(self, text: str) -> None:
        if text or self._is_shown:
            self._is_shown = bool(text)
            with suppress(OSError):
                sys.stderr.write(ERASE + text)
                sys.stderr.flush()
