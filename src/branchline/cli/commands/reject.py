"""`branchline reject`: no to what waits."""

import click

from branchline.cli.driving import decide, require_person, settled
from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument


@click.command("reject")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the report.")
@of_run
def command(*, history: History, task: str | None, reason: str, as_json: bool) -> int:
    """Say no to what waits, and go on without it.

    A rejected change is kept with its report, and nothing of it lands. TASK is a task or a workstream; without it, all
    that waits is rejected. A run whose plan is rejected ends. Exits like `run`.
    """
    require_person()
    if not history.state.plan_waits:
        return decide(history, "reject", task, reason=reason, as_json=as_json)
    return settled(history.paths, None, as_json=as_json)
