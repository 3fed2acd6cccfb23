"""What holds an attempt's processes together and in bounds; every agent, gate and set-up command is given one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.core.model.limits import UNLIMITED, ProcessLimits

Method = Literal["namespace", "sandbox", "subreaper", "group"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How `spawn.run` holds what it starts.

    `wrap` rewrites the command so that it runs in a sandbox, in a folder as the sandbox sees it; that must be a PID
    namespace of its own and die with its parent; without it the strongest containment that works here is used, up to that of `limits`. `keep_fds`:
    descriptors that the wrapped command inherits. `grows`: folders whose growth counts as disk use.
    """

    limits: ProcessLimits = UNLIMITED
    wrap: Callable[[Sequence[str], Path], list[str]] | None = None
    keep_fds: tuple[int, ...] = ()
    grows: tuple[Path, ...] = ()


PLAIN = Confinement()
"""No limits, no sandbox; contained all the same."""
