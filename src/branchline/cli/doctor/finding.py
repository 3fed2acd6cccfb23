"""One thing that `doctor` has found."""

from typing import Literal

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`missing`: a run cannot do without it; `warning`: it can, but say so. `next` is the command that mends it."""

    name: str
    state: Literal["ok", "repaired", "warning", "missing"]
    detail: str
    next: str = ""
