"""`branchline status`: where a run stands."""

import time
from pathlib import Path

import click

from branchline.cli.history import load
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.views.status import lines, status


@click.command("status")
@run_argument
@repo_option
@json_option
def command(*, run: str | None, repo: Path, as_json: bool) -> None:
    """Say where a run stands."""
    history = load(repo, run)
    now = time.time_ns() // 1_000_000
    view = status(history.run_id, history.records, history.state, now, live=history.live)
    emit(view) if as_json else show(lines(view))
