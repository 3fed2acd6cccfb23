"""What holds an attempt's processes together and in bounds: starting, asking to end, killing, and learning how it ended.

It is words before the command: `[init, limits, --, bubblewrap ..., --, command]`. In order of strength: `namespace` (a PID
namespace of its own: killing its first process kills all), `sandbox` (the same, by the sandbox's own program), `subreaper`
(a small process that every orphan among its descendants falls to), and `group` (a process group, which any process can
leave: weak). `init` is the program that does the first three.
"""

import math
import os
import select
import shutil
import signal
import subprocess  # noqa: TID251 - this is the package that may
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.core.durations import seconds
from branchline.core.model.limits import UNLIMITED, Containment, ProcessLimits
from branchline.core.rules.linear import compiled
from branchline.process.descriptors import raised

Method = Literal["namespace", "sandbox", "subreaper", "group"]
Wrap = Callable[[Sequence[str], Path], list[str]]
MB = 1 << 20
CPU_SLACK, CPU_HARD = 2, 5  # seconds: who looks at the whole tree should be first, since only they know the whole
THREADS, LEAST_CEILING = 4, 1024  # the kernel counts threads, too: how many a process may have, on average
INIT = (
    *(sys.executable, "-I", "-S", "-X", "utf8", "-c"),
    # As a module it is compiled once; as a program, for every attempt.
    "import sys; sys.path.append(sys.argv.pop(1)); import init; init.main()",
    str(Path(__file__).parent),
)
KILL_SECONDS = 6.0  # a little more than `init` gives itself
_REFUSED: set[Method] = set()  # what this machine does not allow


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How `spawn.run` holds what it starts.

    `wrap` puts a command in a sandbox, in a folder as the sandbox sees it; that must be a PID namespace of its own and
    die with its parent. Without it the strongest containment that works here is used, up to that of `limits`. `grows`:
    folders whose growth counts as disk use.
    """

    limits: ProcessLimits = UNLIMITED
    wrap: Wrap | None = None
    grows: tuple[Path, ...] = ()


PLAIN = Confinement()
"""No limits, no sandbox; contained all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `streams`: descriptors of its stdin, stdout and stderr; `cgroup`: the control group that it joins."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    streams: tuple[int, int, int]
    confinement: Confinement = PLAIN
    cgroup: Path | None = None


def prefixed(command: Command, method: Method, report: int = -1, environ: int = -1) -> list[str]:
    """The command behind all that contains it. `report`, `environ`: descriptors of `init`, which see there."""
    limits, argv = command.confinement.limits, [*command.argv]
    most, bounds = ceiling(limits), rlimits(limits)
    if command.confinement.wrap is not None:
        argv = command.confinement.wrap(_counted(argv, most), command.cwd)
    if method == "group":  # a shell sets the limits, and becomes the command
        letters = {"RLIMIT_CPU": ("-t", 1), "RLIMIT_FSIZE": ("-f", 512)}
        said = [f"ulimit -S {letters[name][0]} {soft // letters[name][1]}" for name, (soft, _) in bounds.items()]
        here = not os.path.dirname(argv[0]) and shutil.which(argv[0], path=command.env.get("PATH"))
        return ["sh", "-c", "; ".join([*said, 'exec "$@"']), "sh", *argv] if said and here else argv
    words = [f"method={method}", f"parent={os.getpid()}", f"report={report}", f"environ={environ}"]
    if most is not None and method == "namespace" and _counts_by_namespace():
        bounds["RLIMIT_NPROC"] = (most, most)
    bounds["RLIMIT_NOFILE"] = raised()[1:]
    words += [f"{name}={soft}:{hard}" for name, (soft, hard) in bounds.items()]
    if most is not None and kernel() >= (6, 14):  # before, a namespace's number was the whole machine's
        words.append(f"pid_max={most}")
    if command.cgroup is not None:
        words.append(f"cgroup={command.cgroup}")
    return [*INIT, *words, "--", *argv]


def rlimits(limits: ProcessLimits) -> dict[str, tuple[int, int]]:
    """The limits that the system itself can set for each process: the soft and the hard one.

    None for memory: it would be one for addresses, of which some programs reserve far more than they use. None for the
    number of processes: it would count those of all of the user's.
    """
    found = {}
    if limits.cpu is not None:
        # The soft one comes first: its signal tells the cause, which that of the hard one does not.
        soft = math.ceil(seconds(limits.cpu)) + CPU_SLACK
        found["RLIMIT_CPU"] = (soft, soft + CPU_HARD)
    if limits.file_mb is not None:
        found["RLIMIT_FSIZE"] = (limits.file_mb * MB, limits.file_mb * MB)
    return found


def ceiling(limits: ProcessLimits) -> int | None:
    """The number of processes and threads that the kernel should allow, where it can: well above the limit."""
    return None if limits.processes is None else max(LEAST_CEILING, THREADS * limits.processes)


def kernel() -> tuple[int, ...]:
    """The kernel's version, its first two numbers."""
    return tuple(int(part) for part in compiled(r"\d+").findall(os.uname().release)[:2])


def _counts_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts a user namespace by itself (before Linux 5.14, all that the user runs); root has none."""
    return os.geteuid() != 0 and kernel() >= (5, 14)


def _counted(argv: list[str], most: int | None) -> list[str]:
    """What a sandbox's own program should run so that the kernel allows it `most` processes and threads, if it can.

    For an ordinary user it can, in the user namespace that such a program makes; for root, `init` sees to it.
    """
    if most is None or not _counts_by_namespace():
        return argv
    said = f"{{ ulimit -u {most} || ulimit -p {most}; }} 2>/dev/null"  # bash and zsh say u, dash says p
    return ["sh", "-c", f'{said}; exec "$@"', "sh", *argv]


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
    nowhere = (subprocess.DEVNULL,) * 3
    contained = start(Command(argv=["sh", "-c", ":"], cwd=Path("/"), env={}, streams=nowhere), strongest)
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
