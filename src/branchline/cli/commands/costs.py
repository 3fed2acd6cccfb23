"""`branchline costs`: what the agents of a run used, and what is left of its budget."""

import click

from branchline.cli.history import History, require_pipeline
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, show
from branchline.views.costs import bill, lines


@click.command("costs")
@run_argument
@of_run
def command(*, history: History, as_json: bool) -> None:
    """Say what the agents of a run used, and what is left of its budget.

    By workstream, by role, by agent and model. Money comes with who says so: the agent, or computed from the prices of
    the configuration, or metered by our proxy. What nobody knows is named, and never counted as nothing.
    """
    require_pipeline(history, "called no agents")
    view = bill(history.run_id, history.records, history.state)
    emit(view) if as_json else show(lines(view))
