"""Starting a command so that nothing that it starts can get away from us, as well as this machine allows.

In order of strength: `namespace` (a PID namespace of its own: killing its first process kills all), `sandbox` (the same,
made by the sandbox's own program), `subreaper` (a small process that every orphan among its descendants falls to), and
`group` (a process group, which any process can leave: weak). `keeper` is the program that does the first three.
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
from typing import Any, Protocol

from branchline.core.model.limits import Containment
from branchline.process.confinement import Method
from branchline.process.keeping import Channel, Keepers

KILL_SECONDS = 6.0  # a little more than a keeper gives itself
_ENDING = frozenset({*range(1, 16), signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSYS})
"""Signals that end processes. The others are not meant by a code above 128: Gemini ends with 400 & 255, and git with 255."""
_KEEPERS = Keepers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `streams`: descriptors of its stdin, stdout and stderr; `keep`: those that it inherits besides.

    `rlimits`: names such as RLIMIT_CPU, each with its soft and its hard limit. `sandboxed`: it makes a PID namespace
    itself, in which everything else will run. `cgroup`: the folder of the control group that it joins. `most`: how many
    processes and threads the kernel allows it, where it can count them.
    """

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    streams: tuple[int, int, int]
    keep: tuple[int, ...] = ()
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    sandboxed: bool = False
    cgroup: str = ""
    most: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, or less the number of a signal. `left`: processes that could not be killed.

    `cpu`: seconds of the processor that all of its processes took, if that is known; `lost`: the keeper was killed.
    `living`: processes that outlived the command, where a namespace tells.
    """

    code: int
    cpu: float | None = None
    living: int = 0
    left: int = 0
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
        """Wait at most `seconds` (None: for ever); whether the command has ended."""

    def ask(self) -> None:
        """Ask all processes to end. From any thread."""

    def kill(self) -> None:
        """Kill all processes. From any thread; does not wait."""

    def finish(self) -> Ended:
        """Kill what is left, wait until it is gone, and tell how the command ended."""


def start(command: Command, strongest: Containment) -> Contained:
    """Start a command in the strongest containment that works here, up to `strongest`. Raises OSError, ValueError."""
    wanted: tuple[Method, ...] = ("namespace", "subreaper") if strongest == "namespace" else ("subreaper",)
    if command.sandboxed:
        wanted = ("sandbox",)
    if strongest != "group" and sys.platform == "linux":
        for method in wanted:
            if (kept := _kept(command, method)) is not None:
                return kept
    return _Grouped(command)


def held_by(strongest: Containment) -> Method:
    """What holds a command together on this machine, up to `strongest`; found out by starting one."""
    with open(os.devnull, "r+b", buffering=0) as null:
        streams = (null.fileno(),) * 3
        contained = start(Command(argv=["sh", "-c", ":"], cwd=Path("/"), env={}, streams=streams), strongest)
    contained.finish()
    return contained.method


def _kept(command: Command, method: Method) -> "_Kept | None":
    """The command under a keeper; None if the system does not allow that method."""
    request: dict[str, Any] = {
        "method": method,
        "argv": [_wire(word) for word in command.argv],
        "cwd": _wire(str(command.cwd)),
        "env": {_wire(name): _wire(value) for name, value in command.env.items()},
        "keep": command.keep,
        "rlimits": dict(command.rlimits),
        "cgroup": command.cgroup,
        # A namespace has a number of its own since Linux 6.14; before, it was the whole machine's.
        "pid_max": command.most if kernel() >= (6, 14) else None,
    }
    if method == "namespace" and command.most is not None and _counts_by_namespace():
        request["rlimits"]["RLIMIT_NPROC"] = (command.most, command.most)
    channel = _KEEPERS.open(request, (*command.streams, *command.keep))
    if channel is None:
        return None
    if "pid" in channel.told:
        return _Kept(channel, method, int(channel.told["pid"]))
    channel.close()
    if channel.told.get("errno") is None:
        raise ValueError(channel.told.get("error", ""))
    raise OSError(channel.told["errno"], os.strerror(channel.told["errno"]))


def _wire(text: str) -> str:
    """Bytes as the system will get them, as text that JSON can carry."""
    return os.fsencode(text).decode("latin-1")


class _Kept:
    """A command under a keeper; we talk to that alone."""

    def __init__(self, channel: Channel, method: Method, pid: int) -> None:
        self.method, self.pid = method, pid
        self._channel = channel
        self._told: dict[str, Any] | None = None

    def ended(self, seconds: float | None) -> bool:
        self._told = self._told or self._channel.hear(seconds)
        return self._told is not None or self._channel.silent

    def ask(self) -> None:
        self._channel.say(b"T")

    def kill(self) -> None:
        self._channel.say(b"K")

    def finish(self) -> Ended:
        self.kill()
        if not self.ended(KILL_SECONDS):
            with suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)  # its number is still its own: the channel has not ended
            self.ended(1.0)
        self._channel.close()
        told = self._told or {}
        if told.get("status") is None:
            return Ended(code=-signal.SIGKILL, lost=True)
        code = os.waitstatus_to_exitcode(told["status"])
        if self.method == "sandbox" and code - 128 in _ENDING:
            code = 128 - code  # its own program tells of a signal as shells do
        return Ended(code=code, cpu=told["cpu"], living=told["living"], left=told["left"])


class _Grouped:
    """A command in a process group of its own."""

    method: Method = "group"

    def __init__(self, command: Command) -> None:
        self._process = subprocess.Popen(
            _limited(command),
            cwd=command.cwd,
            env=command.env,
            stdin=command.streams[0],
            stdout=command.streams[1],
            stderr=command.streams[2],
            pass_fds=command.keep,
            start_new_session=True,
        )
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


def counted(argv: Sequence[str], most: int | None) -> Sequence[str]:
    """What a sandbox's own program should run so that the kernel allows it `most` processes and threads, if it can.

    For an ordinary user it can, in the user namespace that such a program makes; for root, the keeper sees to it.
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


def _limited(command: Command) -> Sequence[str]:
    """The command behind a shell that sets its limits; the shell's program is replaced by the command's."""
    letters = {"RLIMIT_CPU": ("-t", 1), "RLIMIT_FSIZE": ("-f", 512)}
    words = [f"ulimit -S {letters[name][0]} {soft // letters[name][1]}" for name, (soft, _) in command.rlimits.items()]
    if not words or os.path.dirname(command.argv[0]) or not shutil.which(command.argv[0], path=command.env.get("PATH")):
        return command.argv
    return ["sh", "-c", "; ".join([*words, 'exec "$@"']), "sh", *command.argv]
