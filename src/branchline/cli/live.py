"""The live table: a line a workstream (of a plain graph: a line a running task), redrawn in place."""

import time
from collections.abc import Iterable, Sequence

from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from branchline.core.events import Transition
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.format.text import MARKS, duration, encodable, plain
from branchline.views.log import is_bad, line, news, warnings
from branchline.views.status import Row, progress, row_of
from branchline.views.timeline import attempts

STYLES = {
    State.PENDING: "dim",
    State.RUNNING: "cyan",
    State.COMPLETED: "green",
    State.FAILED: "red",
    State.SKIPPED: "dim",
    State.CANCELLED: "yellow",
}
REDRAWS_A_SECOND = 8
MOST_ROWS = 16
LONGEST_TEXT = 500  # characters of which a row may show some
SPARE_LINES = 6


class Live:
    """Draws what it last heard, on `screen`; records come from the coordinator's thread, drawing is done in rich's."""

    def __init__(self, run_id: str, before: Iterable[Record] = ()) -> None:
        self._run_id = run_id
        self._console = Console(stderr=True, highlight=False)
        self._attempts = attempts(before)
        self._texts: dict[str, str] = {}
        self._rows: tuple[Row, ...] = ()
        self._done, self._total = 0, 0
        self._began = self._heard = time.monotonic()
        self.screen = Screen(
            get_renderable=self._drawn,
            console=self._console,
            refresh_per_second=REDRAWS_A_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def observe(self, state: RunState, records: Sequence[Record]) -> None:
        """Take the rows from the state now: it changes under the hands of the coordinator later."""
        for record in records:
            self._attempts.take(record)
            if isinstance(record.event, Transition):  # what the attempt before it was about is over
                self._texts.pop(record.event.task_id, None)
        for one in news(state, records):
            if is_bad(one.event):
                self._console.print(Text(encodable(line(one)), style="red"))
        for warning in warnings(records):
            self._console.print(Text(encodable(warning), style="yellow"))
        at = records[-1].at
        if state.kind == "pipeline":
            rows = progress(state, self._attempts, at)
        else:  # a graph may have thousands of tasks, and records come every few milliseconds: only what runs
            running = [state.records[name] for name in sorted(state.running)]
            rows = tuple(row_of(record, [record], self._attempts, at) for record in running)
        self._done, self._total = len(state.records) - state.open, len(state.records)
        self._rows, self._heard = rows, time.monotonic()

    def say(self, task_id: str, text: str) -> None:
        """Remember what a running step is about; many agents say much, so only what is drawn is made fit to be."""
        self._texts[task_id] = text[:LONGEST_TEXT]

    def _drawn(self) -> Group:
        rows, since = self._rows, round((time.monotonic() - self._heard) * 1000)
        room = max(3, min(MOST_ROWS, self._console.size.height - SPARE_LINES))
        shown = sorted(rows, key=lambda row: row.state != State.RUNNING)[:room] if len(rows) > room else rows
        grid = Table.grid(padding=(0, 2), expand=True)
        for _ in range(5):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for row in shown:
            style, running = STYLES[row.state], row.state == State.RUNNING
            took = row.elapsed_ms + (since if running else 0)
            tries = [f"try {row.attempt}"] if row.attempt > 1 else []
            tries += [f"round {row.round}"] if row.round > 1 else []
            grid.add_row(
                Text(encodable(f"  {MARKS[row.state]}"), style=style),
                Text(encodable(plain(row.name)), style="bold" if running else style),
                Text(row.step if row.workstream else "", style=style),
                Text(" ".join(tries), style="yellow"),
                Text(duration(took) if took else "", style="dim"),
                Text(
                    encodable(plain(self._texts.get(row.task_id, "") if running else row.reason)),
                    style="default" if running else "dim",
                ),
            )
        more = [Text(f"  and {len(rows) - len(shown)} more", style="dim")] if len(rows) > len(shown) else []
        elapsed = duration(round((time.monotonic() - self._began) * 1000))
        text = Text(f"Run {self._run_id}", style="bold", no_wrap=True, overflow="crop")
        text.append(f"  {elapsed}  {self._done} of {self._total} tasks done", style="not bold dim")
        return Group(text, grid, *more)
