"""What holds an attempt's processes together and in bounds; every agent, gate and set-up command is given one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchline.core.model.limits import UNLIMITED, ProcessLimits

Method = Literal["namespace", "sandbox", "subreaper", "group"]
Wrap = Callable[[Sequence[str], Path], list[str]]


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
