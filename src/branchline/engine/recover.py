"""Beginning a run, and taking one up again after whatever happened to it."""

import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

import msgspec

from branchline._version import __version__
from branchline.core.events import AttemptInterrupted, RunResumed, RunStarted
from branchline.core.ids import ulid
from branchline.core.run_state import RunState, replay
from branchline.errors import InvalidInput, RunBusy
from branchline.ledger import checkpoint
from branchline.ledger.lease import Lease
from branchline.ledger.log import Ledger, Reading, read, require
from branchline.ledger.paths import RunPaths
from branchline.ledger.seal import require_ours, sealed
from branchline.process.sweep import sweep


@dataclass(slots=True)
class Held:
    """A run that this process may write: its lease, its ledger, its state. Given up at the end of `with`.

    `resumed`: what a resume has to note before it goes on; nothing is written before it is clear that it can.
    """

    ledger: Ledger
    state: RunState
    given_up: ExitStack
    resumed: tuple[AttemptInterrupted | RunResumed, ...] = ()

    def amend(self, **fields: Any) -> None:
        """Have the resume say more of itself."""
        self.resumed = (*self.resumed[:-1], msgspec.structs.replace(self.resumed[-1], **fields))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.given_up.close()


class Clock:
    """The time in Unix milliseconds, which never goes back: one who waits for a time waits no longer if the clock is put back."""

    def __init__(self) -> None:
        self._wall, self._steady, self._lock = time.time_ns(), time.monotonic_ns(), threading.Lock()
        self._now = self._wall

    def __call__(self) -> int:
        """The time now."""
        with self._lock:
            wall, steady = time.time_ns(), time.monotonic_ns()
            self._now += wall - self._wall if wall >= self._wall else steady - self._steady
            self._wall, self._steady = wall, steady
            return self._now // 1_000_000


clock = Clock()


def new_run_id(now: int) -> str:
    """A fresh run id."""
    return ulid(now, int.from_bytes(os.urandom(10), "big"))


def versions() -> dict[str, str]:
    """What record 0 pins of the machine."""
    return {"branchline": __version__, "python": ".".join(map(str, sys.version_info[:3])), "host": os.uname().nodename}


def taken_by() -> str:
    """Who we are, for the ledger."""
    return f"process {os.getpid()} on {os.uname().nodename}"


def begin(paths: RunPaths, started: RunStarted) -> Held:
    """Create a run whose record 0 is `started`. Raises InvalidInput if it exists already."""
    paths.make(*((paths.artifacts, paths.scratch) if started.kind == "pipeline" else ()))
    with ExitStack() as stack:
        stack.enter_context(Lease(paths, now=clock()))
        ledger = stack.enter_context(Ledger.begun(paths, clock))
        state = replay([started])
        ledger.append([sealed(started, paths)])
        return Held(ledger, state, stack.pop_all())


def complete(paths: RunPaths, state: RunState) -> None:
    """Write the files that a kill at the very end of a run kept from being written: nobody takes it up any more."""
    require_ours(paths)
    with suppress(OSError, RunBusy), Lease(paths, now=clock()):
        checkpoint.restore_missing(paths, state, read(paths).records)


def take_up(paths: RunPaths, *, vouch: Callable[[Reading], None] = lambda _: None) -> Held:
    """Take an existing run up: lease, verified ledger, no processes left of the last coordinator.

    `vouch` may compare the reading with marks kept elsewhere (a git ref) before anything is written; it raises
    LedgerError. Attempts that were running are noted as interrupted and will be taken up under the same number.
    """
    if not paths.ledger.exists():
        raise InvalidInput(f"there is no run {paths.run_id} in {paths.runs}", hint="branchline list")
    require_ours(paths)
    with ExitStack() as stack:
        stack.enter_context(Lease(paths, now=clock()))
        reading = read(paths)
        state = require(reading, paths)
        vouch(reading)
        sweep(paths.marker)
        ledger = stack.enter_context(Ledger(paths, epoch=reading.records[-1].epoch + 1, clock=clock))
        ledger.continue_from(reading)
        checkpoint.restore_missing(paths, state, reading.records)
        cut = f"a torn record of {reading.torn} bytes was cut off the ledger's end" if reading.torn else ""
        lost = [AttemptInterrupted(task_id=one, attempt=state.records[one].attempt) for one in sorted(state.running)]
        return Held(ledger, state, stack.pop_all(), (*lost, RunResumed(by=taken_by(), reason=cut)))
