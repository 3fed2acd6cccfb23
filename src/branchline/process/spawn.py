"""Start a process, wait for it, and end it together with everything that it started.

An attempt's process leads a new session. Output goes to files, never through pipes: a daemon that keeps a pipe open
would hold us, and an exit code read through a pipe is the wrong process's.
"""

import errno
import math
import os
import select
import signal
import subprocess  # noqa: TID251 - this is the module that may
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from branchline.errors import BranchlineError

MARKER = "BRANCHLINE_ATTEMPT"
OWN = "/git"  # ends the marker of a short command that we wait for
_NOT_RUNNABLE = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR})
_LOOK_EVERY = 0.2  # seconds between two looks at the size of the output
_SWEEP_GRACE = 1.0  # seconds for an orphan to end when asked
_OWN_GRACE = 2.0  # seconds for a short command of ours to finish before it is asked
_SWEEP_LIMIT = 5.0  # seconds; a fork bomb may outrun us: give up rather than loop for ever


class CannotStart(BranchlineError):
    """The system would not start the process."""


class ToolMissing(CannotStart):
    """The executable does not exist, or may not be executed."""


class TookTooLong(BranchlineError):
    """A short command that we wait for did not end in time; it was killed."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `code` or `signal`, and `reason` if we ended it (timeout, cancelled, output_limit, or `watch`'s)."""

    code: int | None
    signal: int | None
    reason: str | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.code == 0 and self.reason is None


@dataclass(frozen=True, slots=True)
class Captured:
    """A short command's exit code (negative: the signal) and its output, in bytes."""

    code: int
    stdout: bytes
    stderr: bytes


class KillSwitch:
    """The token of one attempt: pulled from any thread, it ends the attempt's processes, those to come included."""

    def __init__(self, grace: float = 2.0) -> None:
        """`grace`: seconds between SIGTERM and SIGKILL."""
        self._grace = grace
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why it was pulled (the first reason given), or None."""
        return self._reason

    def pull(self, reason: str) -> None:
        """End every process of the attempt: SIGTERM now, SIGKILL after the grace. The first reason stays."""
        with self._lock:
            if self._reason is None:
                self._reason = reason
                self._signal(signal.SIGTERM)
                timer = threading.Timer(self._grace, self._kill)
                timer.daemon = True
                timer.start()

    @contextmanager
    def guarding(self, group: int) -> Iterator[None]:
        """Have the switch end process group `group` while the block runs; its leader must not be reaped inside."""
        with self._lock:
            self._groups.add(group)
            if self._reason is not None:
                _signal_group(group, signal.SIGKILL)
        try:
            yield
        finally:
            with self._lock:
                self._groups.discard(group)

    def _kill(self) -> None:
        with self._lock:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for group in self._groups:
            _signal_group(group, number)


def run(  # noqa: PLR0913 - keyword-only data
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    stdin: Path | None = None,
    timeout: float | None = None,
    grace: float = 2.0,
    kill: KillSwitch | None = None,
    marker: str | None = None,
    thorough: bool = False,
    max_output: int | None = None,
    watch: Callable[[], str | None] | None = None,
) -> Exit:
    """Run `argv` to its end and return how it ended; the rest of its process group dies with it.

    `timeout` and `grace` are seconds, `max_output` is bytes a file. `marker` names the attempt in the child's
    environment; `thorough` sweeps for that name afterwards, which also finds what left the process group. `watch` is
    called several times a second; what it returns, if anything, is the reason to end the process.
    `stdout` and `stderr` may be one path. Raises ToolMissing or CannotStart.
    """
    began = time.monotonic()
    named = {**env, MARKER: marker} if marker is not None else env
    switch = kill or KillSwitch()
    with _streams(stdin, stdout, stderr) as streams:
        process = _start(argv, cwd, named, streams)
        try:
            with switch.guarding(process.pid):
                reason = _supervise(process, timeout, grace, _Output(streams[1:], max_output, watch))
        finally:
            code = process.wait()
    reason = reason or switch.reason
    if marker is not None and (thorough or reason is not None):
        sweep(marker)
    seconds = time.monotonic() - began
    return Exit(code if code >= 0 else None, -code if code < 0 else None, reason, seconds)


def capture(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: bytes = b"", timeout: float | None = None
) -> Captured:
    """Run a short, trusted command and return what it printed. Raises ToolMissing, CannotStart, TookTooLong.

    It gets a session of its own, so that a Ctrl-C in the terminal cannot stop it halfway.
    """
    process = _start(argv, cwd, env, (subprocess.PIPE, subprocess.PIPE, subprocess.PIPE))
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as late:
        message = f"{argv[0]} did not end within {timeout:g} s"
        raise TookTooLong(message) from late
    finally:
        if process.returncode is None:
            _signal_group(process.pid, signal.SIGKILL)
            process.communicate()
    return Captured(process.returncode, out, err)


def sweep(marker: str) -> int:
    """End every process of ours whose environment says that it belongs to `marker`, and return how many.

    `marker` is a whole marker or the first components of one: a run's id sweeps all attempts of that run.
    They are asked, and killed a second later. A short command of ours (its marker ends in OWN) may finish first,
    because a git that is stopped in the wrong moment leaves its locks behind.
    It reads /proc; a system without one finds nothing.
    """
    seen: set[int] = set()
    asked: set[int] = set()
    began = time.monotonic()
    while found := _marked(marker):
        waited = time.monotonic() - began
        if waited > _SWEEP_LIMIT:
            break
        for pid, own in found.items():
            overdue = waited - (_OWN_GRACE if own else 0.0)
            if overdue >= _SWEEP_GRACE or (overdue >= 0 and pid not in asked):
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if overdue >= _SWEEP_GRACE else signal.SIGTERM)
        seen.update(found)
        time.sleep(0.005)
    return len(seen)


def _marked(marker: str) -> dict[int, bool]:
    """Return the processes that belong to `marker`, and whether each is a short command of our own."""
    prefix = f"{MARKER}={marker}".encode(errors="surrogateescape")
    found = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        mark = _mark_of(entry, prefix) if entry.isdigit() and int(entry) != os.getpid() else None
        if mark is not None:
            found[int(entry)] = mark.endswith(OWN.encode())
    return found


def _mark_of(pid: str, prefix: bytes) -> bytes | None:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:  # gone, a zombie, or another user's
        return None
    return next((one for one in variables if one == prefix or one.startswith(prefix + b"/")), None)


@contextmanager
def _streams(stdin: Path | None, stdout: Path, stderr: Path) -> Iterator[tuple[int, int, int]]:
    with (
        open(stdin or os.devnull, "rb") as source,
        open(stdout, "wb") as out,
        nullcontext(out) if stderr == stdout else open(stderr, "wb") as err,
    ):
        yield source.fileno(), out.fileno(), err.fileno()


def _start(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], streams: tuple[int, int, int]
) -> subprocess.Popen[bytes]:
    stdin, stdout, stderr = streams
    try:
        return subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
        )
    except OSError as error:
        if error.errno in _NOT_RUNNABLE and os.path.isdir(cwd):
            message = f"cannot run {argv[0]}: {error.strerror}"
            raise ToolMissing(message, hint=f"install {argv[0]}, or correct PATH") from error
        message = f"cannot start {argv[0]} in {cwd}: {error.strerror}"
        raise CannotStart(message) from error
    except ValueError as error:  # a NUL byte in an argument or in the environment
        message = f"cannot start {argv[0]!r}: {error}"
        raise CannotStart(message) from error


@dataclass(frozen=True, slots=True)
class _Output:
    """The files that a process writes, how many bytes each may hold, and who else looks."""

    descriptors: tuple[int, ...]
    limit: int | None
    watch: Callable[[], str | None] | None

    @property
    def unlimited(self) -> bool:
        return self.limit is None and self.watch is None

    def look(self) -> str | None:
        """The reason to end the process now, if there is one."""
        if self.limit is not None and any(os.fstat(one).st_size > self.limit for one in self.descriptors):
            return "output_limit"
        return self.watch() if self.watch is not None else None


class _Wait:
    """Waits for a process, where the system can without reaping it: its group's number then stays taken."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._handle: int | None = None
        if sys.platform == "linux":
            with suppress(OSError):  # a kernel before 5.3
                self._handle = os.pidfd_open(process.pid)

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)

    def ended(self, seconds: float | None) -> bool:
        """Wait at most `seconds` (None: for ever); whether the process has ended."""
        if self._handle is None:
            return self._polled(seconds)
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def _polled(self, seconds: float | None) -> bool:
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        pause = 0.0005
        while self._process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True


def _supervise(process: subprocess.Popen[bytes], timeout: float | None, grace: float, output: _Output) -> str | None:
    """Wait for the end, or bring it about at a limit; then kill the rest of the group. Return the limit's name."""
    with closing(_Wait(process)) as wait:
        try:
            reason = _limit_reached(wait, timeout, output)
            if reason is not None:
                _signal_group(process.pid, signal.SIGTERM)
                wait.ended(grace)
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            wait.ended(None)
    return reason


def _limit_reached(wait: _Wait, timeout: float | None, output: _Output) -> str | None:
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    tick = math.inf if output.unlimited else _LOOK_EVERY
    while True:
        pause = min(deadline - time.monotonic(), tick)
        if wait.ended(None if math.isinf(pause) else pause):
            return None
        if reason := output.look():
            return reason
        if time.monotonic() >= deadline:
            return "timeout"


def _signal_group(group: int, number: signal.Signals) -> None:
    # PermissionError: macOS says so of a group whose last member is a zombie
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
