"""Starting a command so that nothing that it starts can get away from us, as well as this machine allows.

Containment is words before the command: `[init, limits, --, bubblewrap ..., --, command]`. In order of strength:
`namespace` (a PID namespace of its own: killing its first process kills all), `sandbox` (the same, by the sandbox's own
program), `subreaper` (a small process that every orphan among its descendants falls to), and `group` (a process group,
which any process can leave: weak). `init` is the program that does the first three.
"""

import math
import os
import re
import select
import shutil
import signal
import subprocess  # noqa: TID251 - this is the package that may
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from branchline.core.model.limits import Containment
from branchline.process.confinement import Method, Wrap

KILL_SECONDS = 6.0  # a little more than `init` gives itself
_REFUSED: set[Method] = set()  # what this machine does not allow
INIT = (
    *(sys.executable, "-I", "-S", "-X", "utf8", "-c"),
    # As a module it is compiled once; as a program, for every attempt.
    "import sys; sys.path.append(sys.argv.pop(1)); import init; init.main()",
    str(Path(__file__).parent),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `streams`: descriptors of its stdin, stdout and stderr.

    `rlimits`: names such as RLIMIT_CPU, each with its soft and its hard limit. `cgroup`: the folder of the control group
    that it joins. `most`: how many processes and threads the kernel allows it, where it can count them. `wrap`: what
    puts it in a sandbox.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    streams: tuple[int, int, int]
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cgroup: str = ""
    most: int | None = None
    wrap: Wrap | None = None


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


class Contained(Protocol):
    """A command that was started, with everything that it starts. `pid` is the top of their tree."""

    @property
    def method(self) -> Method:
        """What holds it together."""

    @property
    def pid(self) -> int:
        """The process that all others descend from."""

    def ended(self, seconds: float | None) -> bool:
        """Wait at most `seconds` (None: without end); whether the command has ended."""

    def ask(self) -> None:
        """Ask all processes to end. From any thread."""

    def kill(self) -> None:
        """Kill all processes. From any thread; does not wait."""

    def finish(self) -> Ended:
        """Kill what is left, wait until it is gone, and tell how the command ended."""


def start(command: Command, strongest: Containment) -> Contained:
    """Start a command in the strongest containment that works here, up to `strongest`. Raises OSError, ValueError."""
    methods: tuple[Method, ...] = ("sandbox",) if command.wrap else (strongest, "subreaper")
    if strongest != "group" and sys.platform == "linux":
        for method in methods:
            if method not in _REFUSED and (kept := _Kept.started(command, method)) is not None:
                return kept
    return _Grouped(command)


def held_by(strongest: Containment) -> Method:
    """What holds a command together on this machine, up to `strongest`; found out by starting one."""
    with open(os.devnull, "r+b", buffering=0) as null:
        streams = (null.fileno(),) * 3
        contained = start(Command(argv=["sh", "-c", ":"], cwd=Path("/"), env={}, streams=streams), strongest)
    contained.finish()
    return contained.method


def prefixed(command: Command, strongest: Method, report: int = -1, environ: int = -1) -> list[str]:
    """The command behind all that contains it: `init` or a shell that sets its limits, then the sandbox's program."""
    argv = [*command.argv]
    if command.wrap is not None:
        argv = command.wrap(_counted(argv, command.most), command.cwd)
    if strongest == "group":
        return _limited(argv, command)
    limits = [f"{name}={soft}:{hard}" for name, (soft, hard) in command.rlimits.items()]
    if command.most is not None and strongest == "namespace" and _counts_by_namespace():
        limits.append(f"RLIMIT_NPROC={command.most}:{command.most}")
    if command.most is not None and kernel() >= (6, 14):  # before, its number was the whole machine's
        limits.append(f"pid_max={command.most}")
    if command.cgroup:
        limits.append(f"cgroup={command.cgroup}")
    words = (f"method={strongest}", f"parent={os.getpid()}", f"report={report}", f"environ={environ}")
    return [*INIT, *words, *limits, "--", *argv]


class _Kept:
    """A command under `init`."""

    def __init__(self, command: Command, method: Method) -> None:
        self.method = method
        self._report, theirs = os.pipe()
        self._heard = b""
        self._last: list[bytes] | None = None
        # The command's environment must not keep `init` from starting, nor have what Python adds to its own.
        environ = os.memfd_create("environ")
        own = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
        try:
            with open(environ, "wb", closefd=False) as file:
                file.write(_packed(command.env))
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
    def started(cls, command: Command, method: Method) -> "_Kept | None":
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
        self._last = self._line(seconds) if self._last is None else self._last
        return self._last is not None

    def _line(self, seconds: float | None) -> list[bytes] | None:
        """The words of the next line of the report; none of them if it has ended, None if it takes longer."""
        poll = select.poll()
        poll.register(self._report, select.POLLIN)
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            if not poll.poll(None if math.isinf(left) else max(0.0, left) * 1000):
                return None
            heard = os.read(self._report, 4096)
            if not heard:
                return []
            self._heard += heard
        line, _, self._heard = self._heard.partition(b"\n")
        return line.split()

    def ask(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGUSR1)

    def finish(self) -> Ended:
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


def _spawned(
    command: Command, argv: Sequence[str], env: Mapping[str, str], keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    cwd = "/" if command.wrap else command.cwd  # which the sandbox's program finds in the sandbox
    stdin, stdout, stderr = command.streams
    return subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=keep, start_new_session=True
    )


def _packed(env: Mapping[str, str]) -> bytes:
    """An environment in one piece. Raises ValueError, as `subprocess` does, for what cannot stand in one."""
    if any("\0" in name + value or "=" in name for name, value in env.items()):
        raise ValueError("embedded null byte or illegal name in the environment")
    return b"".join(os.fsencode(f"{name}={value}\0") for name, value in env.items())


class _Grouped:
    """A command in a process group of its own."""

    method: Method = "group"

    def __init__(self, command: Command) -> None:
        self._process = _spawned(command, prefixed(command, "group"), command.env)
        self.pid = self._process.pid
        self._handle: int | None = None
        if sys.platform == "linux":
            with suppress(OSError):  # a kernel before 5.3
                self._handle = os.pidfd_open(self.pid)

    def ended(self, seconds: float | None) -> bool:
        if self._handle is None:
            return self._polled(seconds)
        # Where the system can wait without reaping, the group's number stays taken.
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

    def ask(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # PermissionError: macOS says so of a group whose last member is a zombie
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def finish(self) -> Ended:
        self.kill()
        self.ended(None)
        if self._handle is not None:
            os.close(self._handle)
        return Ended(code=self._process.wait())


def _counted(argv: Sequence[str], most: int | None) -> Sequence[str]:
    """What a sandbox's own program should run so that the kernel allows it `most` processes and threads, if it can.

    For an ordinary user it can, in the user namespace that such a program makes; for root, `init` sees to it.
    """
    if most is None or not _counts_by_namespace():
        return argv
    said = f"{{ ulimit -u {most} || ulimit -p {most}; }} 2>/dev/null"  # bash and zsh say u, dash says p
    return ["sh", "-c", f'{said}; exec "$@"', "sh", *argv]


def kernel() -> tuple[int, ...]:
    """The kernel's version, its first two numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


def _counts_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts a user namespace by itself (before Linux 5.14, all that the user runs); root has none."""
    return os.geteuid() != 0 and kernel() >= (5, 14)


def _limited(argv: Sequence[str], command: Command) -> list[str]:
    """The command behind a shell that sets its limits; the shell's program is replaced by the command's."""
    letters = {"RLIMIT_CPU": ("-t", 1), "RLIMIT_FSIZE": ("-f", 512)}
    words = [f"ulimit -S {letters[name][0]} {soft // letters[name][1]}" for name, (soft, _) in command.rlimits.items()]
    if not words or os.path.dirname(argv[0]) or not shutil.which(argv[0], path=command.env.get("PATH")):
        return [*argv]
    return ["sh", "-c", "; ".join([*words, 'exec "$@"']), "sh", *argv]
