"""`branchline log`: the ledger, a line a record, also while somebody else writes it."""

import sys
import time
from pathlib import Path

import click

from branchline.cli.history import locate
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import say, show
from branchline.core.events import RunEnded
from branchline.errors import LedgerError
from branchline.ledger.codec import GENESIS, BadRecord, decode
from branchline.ledger.lease import is_held
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
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
    paths = locate(repo, run)
    follower = Follower(paths, as_json=as_json)
    follower.print_rest()
    if follow:
        follower.follow()
    require(read(paths), paths)  # what was printed is all there was


class Follower:
    """Prints the records of a run from where it stopped the last time, each verified as it comes."""

    def __init__(self, paths: RunPaths, *, as_json: bool) -> None:
        self._paths, self._as_json = paths, as_json
        self._seq, self._offset, self._prev = 0, 0, GENESIS
        self._ended = False

    def print_rest(self) -> bool:
        """Print what came since; whether anything did. Raises LedgerError at a record that does not verify."""
        with self._paths.ledger.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        for text in whole.split(b"\n")[:-1]:
            try:
                record = decode(text, seq=self._seq, prev=self._prev, offset=self._offset)
            except BadRecord as error:
                raise LedgerError(
                    f"the ledger {self._paths.ledger} does not verify: "
                    f"record {self._seq} at byte {self._offset}: {error.message}",
                    hint=f"branchline verify {self._paths.run_id}",
                ) from error
            self._seq, self._offset, self._prev = self._seq + 1, self._offset + len(text) + 1, record.sha
            self._ended = isinstance(record.event, RunEnded)
            show([text.decode("ascii") if self._as_json else line(record)])
        sys.stdout.flush()
        return bool(whole)

    def follow(self) -> None:
        """Print what comes until the run ends, or until nobody drives it any more."""
        while not self._ended:
            live = is_held(self._paths)  # asked first: what a driver wrote before it went is still printed
            if not self.print_rest() and not live:
                say(f"nobody drives this run any more; go on with: branchline resume {self._paths.run_id}")
                return
            time.sleep(POLL_SECONDS)
