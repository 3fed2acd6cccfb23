"""Starting a command in its containment, asking it to end, killing it, and learning how it ended."""

import math
import os
import select
import signal
import subprocess  # noqa: TID251 - this is the package that may
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from branchline.core.model.limits import Containment
from branchline.process.confinement import Command, Method, prefixed

KILL_SECONDS = 6.0  # a little more than `init` gives itself
_REFUSED: set[Method] = set()  # what this machine does not allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, or less the number of a signal. `left`: processes that could not be killed.

    `cpu`: seconds of the processor that all of its processes took, if that is known; `lost`: `init` was killed.
    `living`: processes that outlived the command, where a namespace tells.
    """

    code: int
    left: int = 0
    living: int = 0
    cpu: float | None = None
    lost: bool = False


def start(command: Command, strongest: Containment | None = None) -> "Contained":
    """Start a command in the strongest containment that works here, up to `strongest`. Raises OSError, ValueError."""
    strongest = strongest or command.confinement.limits.containment
    methods: tuple[Method, ...] = ("sandbox",) if command.confinement.wrap else (strongest, "subreaper")
    if strongest != "group" and sys.platform == "linux":
        for method in methods:
            if method not in _REFUSED and (kept := Kept.started(command, method)) is not None:
                return kept
    return Grouped(command)


def held_by(strongest: Containment) -> Method:
    """What holds a command together on this machine, up to `strongest`; found out by starting one."""
    with open(os.devnull, "r+b", buffering=0) as null:
        streams = (null.fileno(),) * 3
        contained = start(Command(argv=["sh", "-c", ":"], cwd=Path("/"), env={}, streams=streams), strongest)
    contained.finish()
    return contained.method


class Kept:
    """A command under `init`. `pid` is the process that all of its own descend from; `method`: what holds it together."""

    def __init__(self, command: Command, method: Method) -> None:
        if any("\0" in name + value or "=" in name for name, value in command.env.items()):
            raise ValueError("embedded null byte or illegal name in the environment")  # as `subprocess` has it
        self.method = method
        self._report, theirs = os.pipe()
        self._heard = b""
        self._last: list[bytes] | None = None
        # The command's environment must not keep `init` from starting, nor have what Python adds to its own.
        environ = os.memfd_create("environ")
        own = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
        try:
            with open(environ, "wb", closefd=False) as file:
                file.write(b"".join(os.fsencode(f"{name}={value}\0") for name, value in command.env.items()))
            os.lseek(environ, 0, os.SEEK_SET)
            self._process = _spawned(command, prefixed(command, method, theirs, environ), own, (theirs, environ))
        except BaseException:
            os.close(self._report)
            raise
        finally:
            os.close(theirs)
            os.close(environ)
        self.pid = self._process.pid

    @classmethod
    def started(cls, command: Command, method: Method) -> "Kept | None":
        """A command that has started; None if `init` could not do its work. Raises OSError if the command cannot start."""
        kept = cls(command, method)
        match kept._line(None):
            case [b"started", pid]:
                kept.pid = int(pid)
                return kept
            case [b"errno", number]:
                kept.finish()
                raise OSError(int(number), os.strerror(int(number)))
            case [b"refused"]:
                _REFUSED.add(method)
        kept.finish()
        return None

    def ended(self, seconds: float | None) -> bool:
        """Wait at most `seconds` (None: without end); whether the command has ended."""
        self._last = self._line(seconds) if self._last is None else self._last
        return self._last is not None

    def _line(self, seconds: float | None) -> list[bytes] | None:
        """The words of the next line of the report; none of them if it has ended, None if it takes longer."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._heard:
            if not _readable(self._report, deadline):
                return None
            heard = os.read(self._report, 4096)
            if not heard:
                return []
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return line.split()

    def ask(self) -> None:
        """Ask all processes to end. From any thread."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all processes. From any thread; does not wait."""
        self._process.send_signal(signal.SIGUSR1)

    def finish(self) -> Ended:
        """Kill what is left, wait until it is gone, and tell how the command ended."""
        self.kill()
        if not self.ended(KILL_SECONDS):
            self._process.kill()
            self.ended(1.0)
        os.close(self._report)
        self._process.wait()
        match self._last:
            case [b"ended", code, left, living, cpu]:
                return Ended(code=int(code), left=int(left), living=int(living), cpu=float(cpu))
        return Ended(code=-signal.SIGKILL, lost=True)


class Grouped:
    """A command in a process group of its own, used as one under `init` is."""

    method: Method = "group"

    def __init__(self, command: Command) -> None:
        self._process = _spawned(command, prefixed(command, "group"), command.env)
        self.pid = self._process.pid
        self._handle: int | None = None
        if sys.platform == "linux":
            with suppress(OSError):  # a kernel before 5.3
                self._handle = os.pidfd_open(self.pid)

    def ended(self, seconds: float | None) -> bool:
        """Wait at most `seconds`; whether the command has ended."""
        # Where the system can wait without reaping, the group's number stays taken.
        if self._handle is not None:
            return _readable(self._handle, math.inf if seconds is None else time.monotonic() + seconds)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def ask(self) -> None:
        """Ask all processes of the group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill all processes of the group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # PermissionError: macOS says so of a group whose last member is a zombie
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def finish(self) -> Ended:
        """Kill what is left of the group, and tell how the command ended."""
        self.kill()
        self.ended(None)
        if self._handle is not None:
            os.close(self._handle)
        return Ended(code=self._process.wait())


Contained = Kept | Grouped
"""A command that was started, with everything that it starts."""


def _readable(descriptor: int, deadline: float) -> bool:
    """Wait until something can be read, at most until a time of the monotonic clock."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    left = deadline - time.monotonic()
    return bool(poll.poll(None if math.isinf(left) else max(0.0, left) * 1000))


def _spawned(
    command: Command, argv: Sequence[str], env: Mapping[str, str], keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    cwd = "/" if command.confinement.wrap else command.cwd  # which the sandbox's program finds in the sandbox
    stdin, stdout, stderr = command.streams
    return subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=keep, start_new_session=True
    )
