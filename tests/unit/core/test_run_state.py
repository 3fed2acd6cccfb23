import pytest

from branchline.core.events import AnyEvent, GaveUp, IntentReceived, RunEnded, RunResumed, Transition
from branchline.core.facts import PrOpened
from branchline.core.graph import CycleError, DuplicateTask, Task
from branchline.core.run_state import RunState, replay
from branchline.core.states import IllegalTransition, State
from branchline.errors import InvalidInput
from strategies import after, started


def to(name: str, old: State, new: State, attempt: int = 1) -> Transition:
    return Transition(task_id=name, old_state=old, new_state=new, attempt=attempt)


def test_a_run_refuses_tasks_that_are_no_graph() -> None:
    with pytest.raises(CycleError):
        replay([started(Task(id="a", dependencies=("a",)))])
    with pytest.raises(DuplicateTask):
        replay([started(Task(id="a"), Task(id="a"))])


def test_an_event_that_contradicts_the_state_is_refused() -> None:
    state = replay([started(Task(id="a"))])
    with pytest.raises(InvalidInput, match="task a is PENDING, but an event moves it from RUNNING"):
        after(state, to("a", State.RUNNING, State.COMPLETED))
    with pytest.raises(IllegalTransition, match="task a: PENDING -> COMPLETED"):
        after(state, to("a", State.PENDING, State.COMPLETED))
    assert state == replay([started(Task(id="a"))])


def test_facts_of_the_steps_change_nothing_that_is_decided() -> None:
    state = replay([started(Task(id="a"))])
    assert after(state, PrOpened(task_id="a", forge="local", location="x")) == state


@pytest.mark.parametrize("first", ["skipped", "failed"])
def test_a_failure_outweighs_a_skip_whichever_came_first(first: str) -> None:
    state = replay([started(Task(id="s"), Task(id="f"), Task(id="x", dependencies=("s", "f")))])
    skip: list[AnyEvent] = [to("s", State.PENDING, State.SKIPPED)]
    failure: list[AnyEvent] = [
        to("f", State.PENDING, State.RUNNING),
        to("f", State.RUNNING, State.FAILED),
        GaveUp(task_id="f", reason=""),
    ]
    order = [*skip, *failure] if first == "skipped" else [*failure, *skip]
    for event in order[:-1]:
        state.apply(event)
        assert not state.doomed
    state.apply(order[-1])
    assert state.doomed == {"x"}
    assert state.records["x"].doomed == "upstream f failed"


def test_resuming_an_ended_run_lifts_what_ended_it_and_resuming_a_crash_does_not() -> None:
    state = replay([started(Task(id="a"), Task(id="b")), IntentReceived(kind="cancel", by="me")])
    crashed = after(state, RunResumed(by="me"))
    assert crashed.cancel_requested == "me"
    ended = after(state, RunEnded(status="cancelled", exit_code=1), RunResumed(by="me"))
    assert (ended.cancel_requested, ended.stopped_by, ended.end) == ("", "", None)


def test_other_intents_and_refused_cancels_ask_for_no_cancel() -> None:
    state = replay([started(Task(id="a")), IntentReceived(kind="retry", by="me", task_id="a")])
    state.apply(IntentReceived(kind="cancel", by="me", refused="no"))
    assert not state.cancel_requested


def test_the_first_failure_that_stops_the_run_is_the_one_named() -> None:
    state = replay([started(*(Task(id=name, on_failure="stop") for name in "ab"))])
    for name in "ba":
        state.apply(to(name, State.PENDING, State.RUNNING))
        state.apply(to(name, State.RUNNING, State.FAILED))
        state.apply(GaveUp(task_id=name, reason=""))
    assert state.stopped_by == "b"


def test_a_step_that_is_not_there_is_not_found() -> None:
    assert RunState().find("merge") is None
    assert replay([started(Task(id="a", step="merge"))]).find("merge", "w") is None
