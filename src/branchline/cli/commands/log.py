"""`branchline log`: the ledger, a line a record."""

from pathlib import Path

import click

from branchline.cli.follow import Follower
from branchline.cli.history import locate
from branchline.cli.options import json_option, repo_option, run_argument


@click.command("log")
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@repo_option
@json_option
def command(*, run: str | None, follow: bool, repo: Path, as_json: bool) -> None:
    """Print what happened in a run, line by line.

    With --json the lines are the ledger's own records. Times are in UTC.
    """
    follower = Follower(locate(repo, run), as_json=as_json)
    follower.print_rest()
    if follow:
        follower.follow()
    follower.finish()
