"""Driving a run to its end before a person's eyes, saying what came of it, and passing on what the person decides.

A run's progress is lines, or a live table on a terminal.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal

from branchline.cli.asking import EDITED, decision, proposal, somebody_is_there
from branchline.cli.history import History, ask
from branchline.cli.output import emit, is_live, say
from branchline.core.approvals import chosen, sentence
from branchline.core.model.plan import Plan
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.engine import library, pipeline
from branchline.engine.pipeline import Session, resume
from branchline.errors import Interrupted, InvalidInput, RunBusy
from branchline.ledger.codec import Record
from branchline.ledger.lease import is_held
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from branchline.process.sweep import MARKER
from branchline.views.format.text import plain
from branchline.views.log import line, news, warnings
from branchline.views.recap import EXIT_INTERRUPTED, lines, recap

if TYPE_CHECKING:
    from branchline.cli.live import Live

POLL_SECONDS = 0.1
PAST = {"approve": "approved", "reject": "rejected"}


def driven(paths: RunPaths, drive: Callable[[Session], object], *, as_json: bool) -> int:
    """Have `drive` drive a run, showing its progress; then its recap, and its exit code.

    A run whose planner has proposed a plan is asked about, if there is somebody to ask, and goes on by the answer.
    """
    state = watched(paths, drive)
    if state is None:
        finish(paths, as_json=as_json)
        return EXIT_INTERRUPTED
    if state.plan_waits and somebody_is_there():
        answer = decision(paths, state)
        if answer != "later":
            return settled(paths, answer, as_json=as_json)
    elif state.plan_waits and not as_json:
        proposal(state)
    code, file = finish(paths, as_json=as_json), paths.artifacts / EDITED
    if state.plan_waits and file.exists():  # without --plan, `approve` takes the one that was proposed
        say(f"  as edited: branchline approve {paths.run_id} --plan {os.path.relpath(file)}")
    return code


def settled(paths: RunPaths, plan: Plan | None, *, as_json: bool) -> int:
    """Go on with a plan that was accepted; without one, end a run whose plan was refused. The exit code."""
    if plan is None:
        ask(paths, "cancel")
    return driven(paths, lambda session: resume(paths, session, accept=plan), as_json=as_json)


def watched(paths: RunPaths, drive: Callable[[Session], object]) -> RunState | None:
    """Have `drive` drive a run, showing its progress; the state in which it left it, None if it was interrupted."""
    try:
        with _told_to_stop(), watching(paths) as session:
            drive(session)
    except Interrupted:
        if not paths.ledger.exists():
            raise
        return None
    return require(read(paths), paths)


@contextmanager
def watching(paths: RunPaths) -> Iterator[Session]:
    """A session that is watched as fits stderr: by lines, or by a table, which goes on from what the ledger holds."""
    if is_live(sys.stderr):
        with ExitStack() as screen:
            table = LiveTable(paths.run_id, read(paths).records if paths.ledger.exists() else (), screen)
            yield Session(observers=(table.observe,), say=table.say)
        return
    head = [f"run {paths.run_id}"]  # said before the first record: a run that cannot begin is none

    def observe(state: RunState, records: Sequence[Record]) -> None:
        say(*head, *map(line, news(state, records)), *warnings(records))
        head.clear()

    yield Session(observers=(observe,))


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


def finish(paths: RunPaths, *, as_json: bool) -> int:
    """Print what a run came to; its exit code."""
    reading = read(paths)
    state = require(reading, paths)
    made = recap(paths.run_id, reading.records, state, str(paths.run_dir))
    if as_json:
        emit(made)
    else:
        say("", *lines(made, reading.records, state))
    return made.exit_code


def take_up(
    history: History,
    session: Session,
    *,
    retry: str | None = None,
    checkpoint: int | None = None,
    skip: tuple[str, ...] = (),
    budget: float | None = None,
) -> None:
    """Drive a run on. Raises InvalidInput, RunBusy, LedgerError."""
    if history.state.kind == "pipeline":
        pipeline.resume(history.paths, session, retry=retry, checkpoint=checkpoint, skip=skip, budget=budget)
        return
    if checkpoint is not None:
        raise InvalidInput("a plain graph has no checkpoint to go back to", hint=f"branchline resume {history.run_id}")
    for name, record in history.state.current().items():
        if record.task.run is None and record.state not in {State.COMPLETED, State.SKIPPED}:
            raise InvalidInput(
                f"task {name} is a Python callable, which the command line does not have",
                hint=f"in Python: branchline.resume({history.run_id!r}, implementations, root=...)",
            )
    if retry is not None:
        ask(history.paths, "retry", task_id=retry)
    library.resume(
        history.run_id, root=history.paths.root, driver=session.driver, observers=session.observers, skip=skip
    )


def require_person() -> None:
    """Raise InvalidInput in a process that an attempt has started: no agent approves anything."""
    if os.environ.get(MARKER):
        raise InvalidInput("an agent's process may neither approve nor reject anything")


def decide(
    history: History, verb: Literal["approve", "reject"], task: str | None, *, reason: str = "", as_json: bool
) -> int:
    """Say yes or no to the trees that wait, and see that the run goes on; the exit code. Raises InvalidInput."""
    run_id, waiting = history.run_id, chosen(history.state, task)
    if not waiting:
        what = f"{task!r} does not wait" if task else "nothing waits"
        raise InvalidInput(f"{what} for anybody in run {run_id}", hint=f"branchline status {run_id}")
    files = []
    for name, need in waiting.items():
        files.append(ask(history.paths, verb, task_id=name, tree=need.tree, reason=reason))
        say(f"{PAST[verb]}: {name} with tree {need.tree[:12]}, which {plain(sentence(need))}")
    if history.live:
        while is_held(history.paths) and any(file.exists() for file in files):
            time.sleep(POLL_SECONDS)
        if not any(file.exists() for file in files):
            say(f"run {run_id} has been told; watch it: branchline log -f {run_id}")
            if as_json:
                emit({"run_id": run_id, "asked": verb, "tasks": list(waiting)})
            return 0
    try:
        return driven(history.paths, lambda session: resume(history.paths, session), as_json=as_json)
    except RunBusy:  # somebody has taken it up in between, and the decision with it
        say(f"run {run_id} goes on elsewhere; watch it: branchline log -f {run_id}")
        return 0
