"""`branchline status`: where a run stands."""

import time

import click

from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, show
from branchline.views.status import lines, status


@click.command("status")
@run_argument
@of_run
def command(*, history: History, as_json: bool) -> None:
    """Say where a run stands."""
    now = time.time_ns() // 1_000_000
    view = status(history.run_id, history.records, history.state, now, live=history.live)
    emit(view) if as_json else show(lines(view))
