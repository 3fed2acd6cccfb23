"""A run's progress for people: lines where nobody looks, a live table on a terminal."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from branchline.cli.output import is_live, say
from branchline.core.run_state import RunState
from branchline.ledger.codec import Record
from branchline.ledger.log import read
from branchline.views.log import line
from branchline.views.news import news, warnings

if TYPE_CHECKING:
    from branchline.cli.live import Live
    from branchline.ledger.paths import RunPaths


@contextmanager
def watching(paths: "RunPaths") -> "Iterator[Lines | Live]":
    """A watch that fits stderr, for as long as the block runs. The table goes on from what the run's ledger holds."""
    if not is_live(sys.stderr):
        yield Lines(paths.run_id)
        return
    from branchline.cli.live import Live

    before = read(paths).records if paths.ledger.exists() else ()
    with Live(paths.run_id, before) as live:
        yield live


class Lines:
    """A line for whatever a reader of a log wants to find there."""

    def __init__(self, run_id: str) -> None:
        self._head = [f"run {run_id}"]

    def observe(self, state: RunState, records: Sequence[Record]) -> None:
        """Print the records that matter; before the first, which run it is: one that cannot begin is none."""
        head, self._head = self._head, []
        say(*head, *map(line, news(state, records)), *warnings(records))

    def say(self, task_id: str, text: str) -> None:
        """What a step is about is for the live table only."""
