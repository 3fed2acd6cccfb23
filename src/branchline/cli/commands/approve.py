"""`branchline approve`: yes to what waits."""

from pathlib import Path

import click
import msgspec

from branchline.cli.driving import decide, require_person, settled
from branchline.cli.history import History
from branchline.cli.options import file_type, of_run, run_argument
from branchline.config.load import plan_of
from branchline.config.settings import recorded_settings
from branchline.core.model.plan import Plan
from branchline.errors import InvalidInput


@click.command("approve")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@click.option("--plan", "file", type=file_type, metavar="FILE", help="Carry this plan out instead of the proposed one.")
@of_run
def command(*, history: History, task: str | None, file: Path | None, as_json: bool) -> int:
    """Say yes to what waits, a plan or a change, and go on.

    Changes that wait are those of protected paths, many deletions, shipping. TASK is a task or a workstream;
    without it, all that waits is approved. `branchline status` says what waits and why, `branchline diff` shows it.
    Exits like `run`.
    """
    require_person()
    if not history.state.plan_waits:
        if file is not None:
            raise InvalidInput(
                f"run {history.run_id} has no plan that waits", hint=f"branchline status {history.run_id}"
            )
        return decide(history, "approve", task, as_json=as_json)
    assert history.state.proposed is not None
    if file is None:
        plan = msgspec.convert(history.state.proposed.plan, Plan)
    else:
        plan = plan_of(file, recorded_settings(history.state.pins))
    return settled(history.paths, plan, as_json=as_json)
