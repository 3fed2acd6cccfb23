"""Start a process, wait for it, and end it together with everything that it started.

Output goes to files, never through pipes: a daemon that keeps a pipe open would hold us.
"""

import errno
import math
import os
import signal
import subprocess  # noqa: TID251 - this is the package that may
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from branchline.core.model.limits import ProcessLimits
from branchline.errors import BranchlineError
from branchline.process.cgroup import ControlGroup
from branchline.process.containment import MB, PLAIN, Command, Confinement, Contained, ceiling, start
from branchline.process.limits import BOMBS, Watch, cause
from branchline.process.sweep import MARKER, sweep

_NOT_RUNNABLE = frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR})


class CannotStart(BranchlineError):
    """The system would not start the process, or a short one that we wait for did not end in time."""


class ToolMissing(CannotStart):
    """The executable does not exist, or may not be executed."""


class KillSwitch:
    """The token of one attempt: pulled from any thread, it ends the attempt's processes, those to come included.

    `reason`: why it was pulled, the first one that was given; `must_finish`: the attempt is past the point at which giving it up would leave it half done.
    """

    def __init__(self, grace: float = 2.0) -> None:
        """`grace`: seconds between asking and killing."""
        self._grace = grace
        self._lock = threading.Lock()
        self._guarded: set[Contained] = set()
        self.reason: str | None = None
        self.must_finish = False

    def pull(self, reason: str) -> None:
        """End every process of the attempt: asked now, killed after the grace. The first reason stays."""
        with self._lock:
            if self.reason is None:
                self.reason = reason
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
            if self.reason is not None:
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


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `code` or `signal`, and `reason` if it was ended: a limit (core.limits), timeout, or another's.

    `containment`: what held it together; `cpu`: seconds of the processor, `memory`: the most bytes seen in use, both of
    it and all that it started, None if that is not known. `left`: processes that could not be killed.
    """

    code: int | None
    signal: int | None
    reason: str | None
    seconds: float
    containment: str = ""
    cpu: float | None = None
    memory: int | None = None
    left: int = 0

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
    watch: Callable[[], str | None] | None = None,
    confinement: Confinement = PLAIN,
) -> Exit:
    """Run `argv` to its end and return how it ended; everything that it started dies with it.

    `timeout` and `grace` are seconds. `marker` names the attempt in the child's environment, by which what got away can
    be found. `watch` is called several times a second; what it returns, if anything, is the reason to end the process.
    `stdout` and `stderr` may be one path. Raises ToolMissing or CannotStart.
    """
    began = time.monotonic()
    named = {**env, MARKER: marker} if marker is not None else dict(env)
    switch = kill or KillSwitch()
    limits = confinement.limits
    with (
        open(stdin or os.devnull, "rb") as source,
        open(stdout, "wb") as out,
        nullcontext(out) if stderr == stdout else open(stderr, "wb") as err,
        _control_group(limits) as control,
    ):
        streams = source.fileno(), out.fileno(), err.fileno()
        with _explained(argv[0], cwd):
            cgroup = None if control is None else control.folder
            contained = start(
                Command(argv=argv, cwd=cwd, env=named, streams=streams, confinement=confinement, cgroup=cgroup)
            )
        looks = Watch(limits, contained, streams[1:], confinement.grows, watch)
        reason = None
        try:
            with switch.guarding(contained):
                reason = _limit_reached(contained, timeout, looks)
                if reason is not None and reason not in BOMBS:
                    contained.ask()
                    contained.ended(grace)
        finally:
            ended = contained.finish()  # what is left is killed
        looks.cut()
        if reason is None and control is not None and control.ran_out:
            reason = "memory_limit"
        if reason is None and limits.processes is not None and ended.living > limits.processes:
            reason = "process_limit"  # so fast that its first process failed before anybody looked
    reason = reason or switch.reason or cause(limits, ended.code, (stdout, stderr), confinement.grows)
    weak = contained.method == "group" and (reason is not None or limits.containment != "group")
    if marker is not None and (weak or ended.lost or ended.left):
        sweep(marker)
    return Exit(
        code=ended.code if ended.code >= 0 else None,
        signal=-ended.code if ended.code < 0 else None,
        reason=reason,
        seconds=time.monotonic() - began,
        containment=contained.method,
        cpu=ended.cpu,
        memory=looks.peak or None,
        left=ended.left,
    )


def capture(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: bytes = b"", timeout: float | None = None
) -> Captured:
    """Run a short, trusted command and return what it printed. Raises ToolMissing, CannotStart.

    It gets a session of its own, so that a Ctrl-C in the terminal cannot stop it halfway.
    """
    pipe = subprocess.PIPE
    with _explained(argv[0], cwd):
        process = subprocess.Popen(argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
    try:
        out, err = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired as late:
        raise CannotStart(f"{argv[0]} did not end within {timeout:g} s") from late
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return Captured(process.returncode, out, err)


@contextmanager
def _control_group(limits: ProcessLimits) -> Iterator[ControlGroup | None]:
    made = ControlGroup.made(limits.memory_mb * MB if isinstance(limits.memory_mb, int) else None, ceiling(limits))
    try:
        yield made
    finally:
        if made is not None:
            made.remove()


@contextmanager
def _explained(program: str, cwd: Path) -> Iterator[None]:
    """Say in our words why a program cannot be started."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_RUNNABLE and os.path.isdir(cwd):
            hint = f"install {program}, or correct PATH"
            raise ToolMissing(f"cannot run {program}: {error.strerror}", hint=hint) from error
        raise CannotStart(f"cannot start {program} in {cwd}: {error.strerror}") from error
    except ValueError as error:  # a NUL byte in an argument or in the environment
        raise CannotStart(f"cannot start {program!r}: {error}") from error


def _limit_reached(contained: Contained, timeout: float | None, looks: Watch) -> str | None:
    """Wait for the end, or for a limit: its name."""
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        if contained.ended(min(deadline - time.monotonic(), looks.pause)):
            return None
        if reason := looks.look():
            return reason
        if time.monotonic() >= deadline:
            return "timeout"
