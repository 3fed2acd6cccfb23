"""Ending an attempt from another thread, whatever it runs by then."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from branchline.process.containment import Contained


class KillSwitch:
    """The token of one attempt: pulled from any thread, it ends the attempt's processes, those to come included.

    `must_finish`: the attempt is past the point at which giving it up would leave it half done.
    """

    def __init__(self, grace: float = 2.0) -> None:
        """`grace`: seconds between asking and killing."""
        self._grace = grace
        self._lock = threading.Lock()
        self._guarded: set[Contained] = set()
        self._reason: str | None = None
        self.must_finish = False

    @property
    def reason(self) -> str | None:
        """Why it was pulled (the first reason given), or None."""
        return self._reason

    def pull(self, reason: str) -> None:
        """End every process of the attempt: asked now, killed after the grace. The first reason stays."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
                for one in self._guarded:
                    one.ask()
                timer = threading.Timer(self._grace, self._kill)
                timer.daemon = True
                timer.start()

    @contextmanager
    def guarding(self, contained: Contained) -> Iterator[None]:
        """Have the switch end what was started while the block runs; it must not be finished inside."""
        with self._lock:
            self._guarded.add(contained)
            if self._reason is not None:
                contained.kill()
        try:
            yield
        finally:
            with self._lock:
                self._guarded.discard(contained)

    def _kill(self) -> None:
        with self._lock:
            for one in self._guarded:
                one.kill()
