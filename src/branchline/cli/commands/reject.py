"""`branchline reject`: no to what waits."""

from pathlib import Path

import click

from branchline.cli.deciding import decide, require_person
from branchline.cli.driving import driven
from branchline.cli.history import ask, load
from branchline.cli.options import json_option, repo_option, run_argument


@click.command("reject")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the report.")
@repo_option
@json_option
def command(*, run: str | None, task: str | None, reason: str, repo: Path, as_json: bool) -> int:
    """Say no to what waits, and go on without it.

    A rejected change is kept with its report, and nothing of it lands. TASK is a task or a workstream; without it, all
    that waits is rejected. A run whose plan is rejected ends. Exits like `run`.
    """
    from branchline.engine.pipeline import resume

    require_person()
    history = load(repo, run)
    if not history.state.plan_waits:
        return decide(history, "reject", task, reason=reason, as_json=as_json)
    ask(history.paths, "cancel")
    return driven(history.paths, lambda session: resume(history.paths, session), as_json=as_json)
