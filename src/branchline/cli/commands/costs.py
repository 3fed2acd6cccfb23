"""`branchline costs`: what the agents of a run used, and what is left of its budget."""

from pathlib import Path

import click

from branchline.cli.history import load
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.errors import InvalidInput
from branchline.views.costs import bill, lines


@click.command("costs")
@run_argument
@repo_option
@json_option
def command(*, run: str | None, repo: Path, as_json: bool) -> None:
    """Say what the agents of a run used, and what is left of its budget.

    By workstream, by role, by agent and model. Money comes with who says so: the agent, or computed from the prices of
    the configuration, or metered by our proxy. What nobody knows is named, and never counted as nothing.
    """
    history = load(repo, run)
    if history.state.kind != "pipeline":
        raise InvalidInput(f"run {history.run_id} is a plain graph: it called no agents")
    view = bill(history.run_id, history.records, history.state)
    emit(view) if as_json else show(lines(view))
