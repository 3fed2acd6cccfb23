"""A run's progress for people: lines where nobody looks, a live table on a terminal."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from branchline.cli.output import is_live, say
from branchline.core import events as e
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.ledger.log import read
from branchline.views.log import line

if TYPE_CHECKING:
    from branchline.ledger.paths import RunPaths

QUIET_FACTS = (e.RunStarted, e.RunResumed, e.RunEnded, e.GaveUp, e.AttemptInterrupted, e.WorktreesReady, e.PlanComplete)
QUIET_STATES = frozenset({State.COMPLETED, State.RUNNING, State.CANCELLED})


class Watch(Protocol):
    """Somebody who watches a run."""

    def observe(self, state: RunState, records: Sequence[Record]) -> None:
        """New records are durable; `state` is the state after them."""

    def say(self, task_id: str, text: str) -> None:
        """A running step says what it is about; from any thread."""


@contextmanager
def watching(paths: "RunPaths") -> Iterator[Watch]:
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
        say(*head, *map(line, news(state, records)), *warnings(state, records))

    def say(self, task_id: str, text: str) -> None:
        """What a step is about is for the live table only."""


def news(state: RunState, records: Sequence[Record]) -> Iterator[Record]:
    """The records of a batch that are worth a line.

    Facts, failures, retries; the start of an agent; of a plain graph's tasks every move. A rejected batch is told once,
    and so is the end of an agent: with what it changed.
    """
    judged = {r.event.task_id for r in records if isinstance(r.event, e.Codegate)}
    ended = {(r.event.task_id, r.event.agent) for r in records if isinstance(r.event, e.ExecuteWsComplete)}
    for record in records:
        event = record.event
        if isinstance(event, e.WorktreeSaved):
            worth = bool(event.left_out or event.kept)
        elif isinstance(event, e.AgentCalled):
            worth = (event.task_id, event.agent) not in ended
        elif not isinstance(event, e.Transition):
            worth = not isinstance(event, QUIET_FACTS)
        elif state.kind == "graph":
            worth = True
        else:
            begins = event.new_state == State.RUNNING and state.records[event.task_id].task.step == "execute"
            worth = begins or (event.new_state not in QUIET_STATES and event.task_id not in judged)
        if worth:
            yield record


def warnings(state: RunState, records: Sequence[Record]) -> list[str]:
    """What preflight warns of, when it has just ended."""
    ends = [e_ for r in records if isinstance(e_ := r.event, e.Transition) and e_.new_state == State.COMPLETED]
    checked = [end for end in ends if state.records[end.task_id].task.step == "preflight"]
    return [f"warning: {text}" for end in checked for text in end.outputs["warnings"]]


def is_bad(event: e.AnyEvent) -> bool:
    """Whether an event is something that one would rather not have happened."""
    match event:
        case e.Transition(new_state=State.FAILED) | e.ValidateWsFail():
            return True
        case e.Codegate(verdict=verdict):
            return verdict != "approved"
    return False
