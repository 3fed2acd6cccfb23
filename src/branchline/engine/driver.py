"""What carries attempts out, in threads of this process, their programs in processes of their own.

The ledger stays with the coordinator; a driver only hands results back.
"""

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from branchline.core.work import Failure, Result
from branchline.errors import FAILURES
from branchline.process.spawn import KillSwitch

KILL_SECONDS = 15.0

Doing = Callable[[KillSwitch], Result]


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to carry out. `timeout` in seconds; `killable`: its work ends when its kill switch is pulled.

    `clean`: takes out of a text what nobody may see.
    """

    task_id: str
    attempt: int
    work: Doing
    timeout: float | None = None
    killable: bool = True
    clean: Callable[[str], str] = str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a job."""

    task_id: str
    attempt: int
    result: Result


class Driver(Protocol):
    """Starts, watches and kills attempts."""

    def start(self, job: Job) -> None:
        """Begin; returns at once, or when the job is done, as the driver likes."""

    def wait(self, timeout: float | None) -> list[Done]:
        """The jobs that ended, waiting up to `timeout` seconds (None: for ever) for the first."""

    def kill(self, task_id: str, reason: str) -> None:
        """End a running attempt; its result still comes by `wait`."""

    def close(self) -> None:
        """End everything that runs; no results come any more."""


@dataclass(slots=True)
class _Active:
    job: Job
    deadline: float | None
    switch: KillSwitch = field(default_factory=KillSwitch)
    abandon_at: float | None = None


class LocalDriver:
    """Really parallel.

    A Python callable that overruns its time cannot be killed: it is left behind and its late result ignored.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Active] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._active: dict[tuple[str, int], _Active] = {}
        self._idle = 0
        self._lock = threading.Lock()

    def start(self, job: Job) -> None:
        """Begin in an idle thread, or in a new one."""
        deadline = None if job.timeout is None else time.monotonic() + job.timeout
        active = _Active(job, deadline)
        self._active[job.task_id, job.attempt] = active
        with self._lock:
            spare = self._idle > 0
            self._idle -= spare
        if not spare:
            try:
                # Daemons: a callable that hangs must not keep the process from ending.
                threading.Thread(target=self._work, daemon=True).start()
            except FAILURES as error:  # the machine has no thread for us now
                self._done.put(Done(job.task_id, job.attempt, Failure(f"it could not begin: {error}", "os_error")))
                return
        self._jobs.put(active)

    def _work(self) -> None:
        while True:
            active = self._jobs.get()
            job = active.job
            try:
                result = job.work(active.switch)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a fault of our own must end in the ledger, not in a dead thread
                reason = job.clean(f"internal error: {type(error).__name__}: {error}")
                told = job.clean(traceback.format_exc())
                result = Failure(reason, "internal", retryable=False, traceback=told)
            self._done.put(Done(job.task_id, job.attempt, result))
            with self._lock:
                self._idle += 1

    def wait(self, timeout: float | None) -> list[Done]:
        """The jobs that ended; jobs past their time are ended on the way."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            expired = self._expired()
            found = expired + self._collect(0.0 if expired else self._patience(until))
            if found or (until is not None and time.monotonic() >= until):
                return found

    def _patience(self, until: float | None) -> float | None:
        waiting = [active for active in self._active.values() if not active.switch.must_finish]
        moments = [m for a in waiting if (m := a.abandon_at or a.deadline) is not None]
        if until is not None:
            moments.append(until)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _collect(self, timeout: float | None) -> list[Done]:
        found: list[Done] = []
        try:
            found.append(self._done.get(timeout=timeout))
            while True:
                found.append(self._done.get_nowait())
        except queue.Empty:
            pass
        return [done for done in found if self._active.pop((done.task_id, done.attempt), None) is not None]

    def _expired(self) -> list[Done]:
        now, found = time.monotonic(), []
        for key, active in list(self._active.items()):
            if active.switch.must_finish:
                continue
            if active.abandon_at is not None and now >= active.abandon_at:
                del self._active[key]
                reason = active.switch.reason or "timeout"
                late = f"within {active.job.timeout:g} s" if reason == "timeout" else f"when it was {reason}"
                found.append(Done(*key, Failure(f"it did not end {late}", error_class=reason)))
            elif active.abandon_at is None and active.deadline is not None and now >= active.deadline:
                self._pull(active, "timeout")
        return found

    def _pull(self, active: _Active, reason: str) -> None:
        active.abandon_at = time.monotonic() + (KILL_SECONDS if active.job.killable else 0.0)
        active.switch.pull(reason)

    def kill(self, task_id: str, reason: str) -> None:
        """End a running attempt."""
        for (name, _), active in self._active.items():
            if name == task_id and active.abandon_at is None:
                self._pull(active, reason)

    def close(self) -> None:
        """End what runs and wait, within bounds, for its processes to be gone."""
        for key, active in list(self._active.items()):
            active.switch.pull("interrupted")
            if not active.job.killable:
                del self._active[key]
        until = time.monotonic() + KILL_SECONDS
        while self._active and time.monotonic() < until:
            self._collect(0.1)
        self._active.clear()
