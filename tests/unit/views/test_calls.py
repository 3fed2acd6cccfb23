from collections.abc import Callable

import msgspec

from branchline.core.events import AnyEvent, AttemptInterrupted, AttemptResumed, RunStarted, Transition
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.costs import Used, calls, summed

Drive = Callable[..., list[Record]]
TASK = "task_007_execute_a"


def state_of(records: list[Record]) -> RunState:
    return replay(record.event for record in records)


def numbered(events: list[AnyEvent]) -> list[Record]:
    return [Record(seq=n, epoch=1, id="", at=n, run_id="", event=event) for n, event in enumerate(events)]


def test_an_agent_that_never_began_cost_nothing(drive_pipeline: Drive) -> None:
    missing = {"state": State.FAILED, "reason": "not installed", "error_class": "AgentMissing"}
    crashed = {"state": State.FAILED, "reason": "git failed", "error_class": "GitError"}
    records = drive_pipeline({TASK: [missing], "task_008_execute_b": [crashed]})
    found = {call.task_id: call for call in calls(records, state_of(records))}
    assert TASK not in found
    assert found["task_008_execute_b"].status == "GitError"
    assert (found["task_008_execute_b"].agent, found["task_008_execute_b"].usage.cost_usd) == ("", None)


def test_the_call_that_died_with_its_coordinator_is_unknown(pipeline_run: list[Record]) -> None:
    begun = next(
        n
        for n, record in enumerate(pipeline_run)
        if isinstance(event := record.event, Transition) and event.task_id == TASK and event.new_state == State.RUNNING
    )
    whole: list[AnyEvent] = [record.event for record in pipeline_run]
    lost: list[AnyEvent] = [AttemptInterrupted(task_id=TASK, attempt=1), AttemptResumed(task_id=TASK, attempt=1)]
    made = numbered([*whole[: begun + 1], *lost, *whole[begun + 1 :]])
    assert summed(calls(made, state_of(made))).cost_usd == Used(known=0.02, unknown_attempts=5)
    assert [call.status for call in calls(made, state_of(made)) if call.task_id == TASK] == ["interrupted", "ok"]


def test_a_planner_is_expected_only_where_no_plan_was_given(pipeline_run: list[Record]) -> None:
    started = pipeline_run[0].event
    assert isinstance(started, RunStarted)
    unplanned = msgspec.structs.replace(started, pins={})
    made = numbered([unplanned, *(record.event for record in pipeline_run[1:])])
    assert [call.status for call in calls(made, state_of(made)) if call.role == "planner"] == ["completed"]
