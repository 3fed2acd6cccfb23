"""What every command of a step is confined to: agents, gates, set-up."""

from pathlib import Path

from branchline.attempt.run import Attempt
from branchline.core.model.limits import ProcessLimits
from branchline.process.confinement import Confinement


def confinement(ctx: Attempt, own: ProcessLimits | None, *grows: Path) -> Confinement:
    """The limits of a command, `own` before those of the settings; `grows`: the folders whose growth they bound."""
    return Confinement(limits=own or ctx.run.settings.limits, grows=grows)
