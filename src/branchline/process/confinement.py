"""What holds an attempt's processes together and in bounds: words before the command.

`[init, limits, --, bubblewrap ..., --, command]`. In order of strength: `namespace` (a PID namespace of its own: killing
its first process kills all), `sandbox` (the same, by the sandbox's own program), `subreaper` (a small process that every
orphan among its descendants falls to), and `group` (a process group, which any process can leave: weak). `init` is the
program that does the first three.
"""

import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.core.durations import seconds
from branchline.core.model.limits import UNLIMITED, ProcessLimits

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
    """What to start. `streams`: descriptors of its stdin, stdout and stderr."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    streams: tuple[int, int, int]
    confinement: Confinement = PLAIN


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
    words += [f"{name}={soft}:{hard}" for name, (soft, hard) in bounds.items()]
    if most is not None and kernel() >= (6, 14):  # before, a namespace's number was the whole machine's
        words.append(f"pid_max={most}")
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
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


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
