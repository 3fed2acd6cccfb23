"""Which of a run's new records are worth a line to somebody who watches it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.record import Timed

QUIET_FACTS = (
    e.RunStarted,
    e.RunResumed,
    e.RunEnded,
    e.GaveUp,
    e.AttemptInterrupted,
    f.Preflight,
    f.RunPrepared,
    f.PlanComplete,
    f.WorktreesReady,
    f.MergeConflict,
    f.Archived,
)
QUIET_STATES = frozenset({State.COMPLETED, State.RUNNING, State.CANCELLED})
T = TypeVar("T", bound=Timed)


def news(state: RunState, records: Sequence[T]) -> Iterator[T]:
    """The records of a batch that are worth a line.

    Facts, failures, retries; the start of an agent; of a plain graph's tasks every move. A rejected batch is told once,
    and so is the end of an agent: with what it changed.
    """
    judged = {r.event.task_id for r in records if isinstance(r.event, f.Codegate)}
    ended = {(r.event.task_id, r.event.agent) for r in records if isinstance(r.event, f.ExecuteWsComplete)}
    for record in records:
        event = record.event
        if isinstance(event, f.WorktreeSaved):
            worth = bool(event.left_out or event.kept)
        elif isinstance(event, f.AgentCalled):
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


def warnings(records: Sequence[Timed]) -> list[str]:
    """What preflight warns of, when it has just ended."""
    checked = [record.event for record in records if isinstance(record.event, f.Preflight)]
    return [f"warning: {text}" for one in checked for text in one.warnings]


def is_bad(event: e.AnyEvent) -> bool:
    """Whether an event is something that one would rather not have happened."""
    match event:
        case e.Transition(new_state=State.FAILED) | f.ValidateWsFail():
            return True
        case f.Codegate(verdict=verdict):
            return verdict != "approved"
    return False
