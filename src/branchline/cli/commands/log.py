"""`branchline log`: the ledger, a line a record, also while somebody else writes it."""

import sys
import time
from pathlib import Path

import click

from branchline.cli.history import chosen
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import say, show
from branchline.core.events import RunEnded
from branchline.ledger.codec import GENESIS, BadRecord, decode
from branchline.ledger.lease import is_held
from branchline.ledger.log import read, require
from branchline.views.log import line

POLL_SECONDS = 0.2


@click.command("log")
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@repo_option
@json_option
def command(*, run: str | None, follow: bool, repo: Path, as_json: bool) -> None:
    """Print what happened in a run, line by line.

    With --json the lines are the ledger's own records. Times are in UTC.
    """
    paths = chosen(repo, run)
    seq, offset, prev, ended = 0, 0, GENESIS, False
    while True:
        live = is_held(paths)  # asked first: what a driver wrote before it went is still printed
        with paths.ledger.open("rb") as file:
            file.seek(offset)
            data = file.read()
        new = data.split(b"\n")[:-1]
        for text in new:
            try:
                record = decode(text, seq=seq, prev=prev, offset=offset)
            except BadRecord:
                ended = True  # what is wrong with it is said at the end
                break
            seq, offset, prev = seq + 1, offset + len(text) + 1, record.sha
            ended = isinstance(record.event, RunEnded)
            show([text.decode("ascii") if as_json else line(record)])
        sys.stdout.flush()
        if not follow or ended:
            break
        if not new and not live:
            say(f"nobody drives this run any more; go on with: branchline resume {paths.run_id}")
            break
        time.sleep(POLL_SECONDS)
    require(read(paths), paths)  # what was printed is all there was
