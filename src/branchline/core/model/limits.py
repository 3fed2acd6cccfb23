"""What an attempt's processes may use together, and how it is told which of these limits they reached."""

from typing import Annotated, Literal

import msgspec

from branchline.core.durations import Duration, seconds
from branchline.core.model.plan import Model

Megabytes = Annotated[int, msgspec.Meta(ge=1)]
Containment = Literal["namespace", "subreaper", "group"]
WEAK = (
    "what agents and gates start is held by nothing but its process group, which any process can leave: "
    "daemons may outlive their attempt"
)

LIMIT_REASONS = frozenset(
    {"memory_limit", "cpu_limit", "process_limit", "file_limit", "output_limit", "disk_limit", "silence"}
)
"""The limits' names, as reasons of an end and as error classes."""


class ProcessLimits(Model, frozen=True, kw_only=True):
    """Limits of one process with everything that it starts; null is unlimited. A megabyte is 2^20 bytes.

    `silence`: the time without any output; `cpu`: processor time of all of them; `memory_mb`: memory in use by all of
    them, `auto` is nine tenths of the machine's; `processes`: how many at once; `file_mb`: one file; `output_mb`: what
    each stream prints; `disk_mb`: by how much the worktree and the attempt's own folder grow. `containment`: the
    strongest means by which they are held together; a weaker one is used where it does not work.
    """

    silence: Duration | None = None
    cpu: Duration | None = None
    memory_mb: Megabytes | Literal["auto"] | None = "auto"
    processes: Annotated[int, msgspec.Meta(ge=1)] | None = 1024
    file_mb: Megabytes | None = 10240
    output_mb: Megabytes | None = 1024
    disk_mb: Megabytes | None = 20480
    containment: Containment = "namespace"

    def excess(self, reason: str) -> str:
        """What was done that one of `LIMIT_REASONS` forbids, as a clause about "it"."""
        auto = self.memory_mb == "auto"
        memory = "nine tenths of the machine's memory" if auto else f"{self.memory_mb} MB of memory"
        amounts = {
            "memory_limit": f"used more than {memory}",
            "cpu_limit": f"used more than {seconds(self.cpu or 0):g} s of processor time",
            "process_limit": f"ran more than {self.processes} processes at once",
            "file_limit": f"wrote a file of {self.file_mb} MB or more",
            "output_limit": f"printed more than {self.output_mb} MB",
            "disk_limit": f"filled more than {self.disk_mb} MB of disk",
            "silence": f"printed nothing for {seconds(self.silence or 0):g} s",
        }
        return f"it {amounts[reason]}"


UNLIMITED = ProcessLimits(memory_mb=None, processes=None, file_mb=None, output_mb=None, disk_mb=None)
