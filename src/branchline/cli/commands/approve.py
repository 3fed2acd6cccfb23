"""`branchline approve`: a plan that waits is carried out."""

from pathlib import Path

import click
import msgspec

from branchline.cli.driving import driven
from branchline.cli.history import load
from branchline.cli.options import file_type, json_option, repo_option, run_argument
from branchline.config.load import plan_of
from branchline.config.settings import Settings
from branchline.core.plan import Plan
from branchline.errors import InvalidInput


@click.command("approve")
@run_argument
@click.option("--plan", "file", type=file_type, metavar="FILE", help="Carry this plan out instead of the proposed one.")
@repo_option
@json_option
def command(*, run: str | None, file: Path | None, repo: Path, as_json: bool) -> int:
    """Accept the plan of a run that waits for it, and go on.

    `branchline cancel` refuses it. Exits like `run`.
    """
    from branchline.engine.pipeline import resume

    history = load(repo, run)
    proposed = history.state.proposed
    if proposed is None or not history.state.awaiting:
        raise InvalidInput(f"run {history.run_id} has no plan that waits", hint=f"branchline status {history.run_id}")
    if file is None:
        plan = msgspec.convert(proposed.plan, Plan)
    else:
        plan = plan_of(file, msgspec.convert(history.state.pins["settings"], Settings))
    return driven(history.paths, lambda session: resume(history.paths, session, accept=plan), as_json=as_json)
