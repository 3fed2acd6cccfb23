"""Driving a run to its end before somebody's eyes, and saying what came of it.

A run's progress is lines, or a live table on a terminal.
"""

import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import msgspec

from branchline.cli.asking import decision, proposal, remind, somebody_is_there
from branchline.cli.history import ask
from branchline.cli.output import emit, is_live, say
from branchline.core.model.plan import Plan
from branchline.core.run_state import RunState
from branchline.engine.pipeline import Session, resume
from branchline.errors import Interrupted
from branchline.ledger.codec import Record
from branchline.ledger.log import read, require
from branchline.views.log import line
from branchline.views.news import news, warnings
from branchline.views.recap import EXIT_INTERRUPTED, lines, recap

if TYPE_CHECKING:
    from branchline.cli.live import Live
    from branchline.ledger.paths import RunPaths


def driven(paths: "RunPaths", drive: Callable[[Session], object], *, as_json: bool) -> int:
    """Have `drive` drive a run, showing its progress; then its recap, and its exit code.

    A run whose planner has proposed a plan is asked about, if there is somebody to ask, and goes on by the answer.
    """
    state = watched(paths, drive)
    if state is None:
        finish(paths, as_json=as_json)
        return EXIT_INTERRUPTED
    if not state.plan_waits:
        return finish(paths, as_json=as_json)
    if not somebody_is_there():
        if not as_json:
            proposal(state)
        return finish(paths, as_json=as_json)
    answer = decision(paths, state)
    if answer == "later":
        code = finish(paths, as_json=as_json)
        remind(paths, state)
        return code
    if isinstance(answer, str):
        ask(paths, "cancel")
        return driven(paths, lambda session: resume(paths, session), as_json=as_json)
    return driven(paths, lambda session: resume(paths, session, accept=answer), as_json=as_json)


def watched(paths: "RunPaths", drive: Callable[[Session], object]) -> RunState | None:
    """Have `drive` drive a run, showing its progress; the state in which it left it, None if it was interrupted."""
    try:
        with _told_to_stop(), watching(paths) as watch:
            drive(Session(observers=(watch.observe,), say=watch.say))
    except Interrupted:
        if not paths.ledger.exists():
            raise
        return None
    return require(read(paths), paths)


@contextmanager
def watching(paths: "RunPaths") -> "Iterator[Lines | LiveTable]":
    """A watch that fits stderr, for as long as the block runs. The table goes on from what the run's ledger holds."""
    if not is_live(sys.stderr):
        yield Lines(paths.run_id)
        return
    with ExitStack() as screen:
        yield LiveTable(paths.run_id, read(paths).records if paths.ledger.exists() else (), screen)


class LiveTable:
    """A live table, from the first records on: a run's beginning does not wait for the import of what draws it."""

    def __init__(self, run_id: str, before: Sequence[Record], screen: ExitStack) -> None:
        self._run_id, self._before, self._screen = run_id, before, screen
        self._live: Live | None = None

    def observe(self, state: RunState, records: Sequence[Record]) -> None:
        """Show what has become durable."""
        if self._live is None:
            from branchline.cli.live import Live

            self._live = Live(self._run_id, self._before)
            self._screen.enter_context(self._live.screen)
        self._live.observe(state, records)

    def say(self, task_id: str, text: str) -> None:
        """Show what a step is about."""
        if self._live is not None:
            self._live.say(task_id, text)


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


@contextmanager
def _told_to_stop() -> Generator[None]:
    """Take SIGTERM and a closed terminal for a Ctrl-C: else the agents, in sessions of their own, would outlive us."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # what `nohup` ignores stays ignored
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(paths: "RunPaths", *, as_json: bool) -> int:
    """Print what a run came to; its exit code."""
    reading = read(paths)
    state = require(reading, paths)
    made = recap(paths.run_id, reading.records, state, str(paths.run_dir))
    if as_json:
        emit(made)
    else:
        plan = msgspec.convert(state.plan, Plan) if state.plan else None
        say("", *lines(made, reading.records, state, plan))
    return made.exit_code
