from collections.abc import Callable

import pytest

from branchline.core.events import AttemptInterrupted, RunPolicy, RunStarted, Transition
from branchline.core.facts import ShipComplete
from branchline.core.graph import Task
from branchline.core.run_state import replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.status import Row, progress
from branchline.views.timeline import Attempt, attempts

Drive = Callable[..., list[Record]]


def rows_of(records: list[Record], later: int = 0) -> dict[str, Row]:
    state = replay(record.event for record in records)
    return {row.name: row for row in progress(state, attempts(records), records[-1].at + later)}


def until(records: list[Record], task_id: str, state: State, attempt: int = 1) -> list[Record]:
    """The ledger up to and with a transition."""
    wanted = (task_id, state, attempt)
    for number, record in enumerate(records, start=1):
        match record.event:
            case Transition(task_id=name, new_state=new, attempt=tried) if (name, new, tried) == wanted:
                return records[:number]
            case _:
                pass
    raise LookupError(task_id)


def test_before_anything_runs_every_workstream_says_what_it_waits_for(pipeline_run: list[Record]) -> None:
    rows = rows_of(pipeline_run[:1])
    assert list(rows) == ["a", "b", "docs"]
    assert [row.state for row in rows.values()] == [State.PENDING] * 3
    assert rows["docs"].reason == "waits for planning, a"
    assert (rows["a"].attempt, rows["a"].elapsed_ms) == (0, 0)


def test_a_running_attempt_has_its_own_time_and_the_workstreams(pipeline_run: list[Record]) -> None:
    row = rows_of(until(pipeline_run, "task_008_execute_b", State.RUNNING, 2), later=700)["b"]
    assert (row.step, row.state, row.attempt) == ("execute", State.RUNNING, 2)
    assert row.elapsed_ms == 1000 + 30_000 + 2000 + 700


def test_a_retry_says_when_and_why(pipeline_run: list[Record]) -> None:
    waiting = until(pipeline_run, "task_008_execute_b", State.PENDING)
    assert rows_of(waiting, later=500)["b"].reason == "retry in 1.5s (attempt 1 of 2: timed out after 30s)"
    assert rows_of(waiting, later=9000)["b"].reason.startswith("retry is due (")


def test_a_repair_shows_its_round(pipeline_run: list[Record]) -> None:
    row = rows_of(until(pipeline_run, "task_007_execute_a_r2", State.RUNNING))["a"]
    assert (row.task_id, row.round) == ("task_007_execute_a_r2", 2)


def test_steps_outside_the_workstreams_show_while_they_run(pipeline_run: list[Record]) -> None:
    rows = rows_of(until(pipeline_run, "task_019_merge_prep", State.RUNNING), later=40)
    assert (rows["merge_prep"].workstream, rows["merge_prep"].elapsed_ms) == ("", 40)
    assert rows["b"].reason == "validated, waits for the merge"
    assert rows["b"].state == State.PENDING


def test_after_the_merge(pipeline_run: list[Record]) -> None:
    rows = rows_of(until(pipeline_run, "task_020_merge", State.COMPLETED))
    assert (rows["a"].step, rows["a"].reason) == ("merge", "merged")
    assert (rows["b"].state, rows["b"].task_id) == (State.FAILED, "task_020_merge")
    assert rows["b"].workstream == "b"


def test_at_the_end_each_has_landed_or_says_why_not(pipeline_run: list[Record]) -> None:
    rows = rows_of(pipeline_run)
    assert {name: row.state for name, row in rows.items()} == {
        "a": State.COMPLETED,
        "b": State.FAILED,
        "docs": State.COMPLETED,
    }
    assert rows["b"].reason == "conflict with a in greetings.txt"
    assert rows["a"].round == 2


def test_a_failed_workstream_stays_at_its_step(drive_pipeline: Drive) -> None:
    told = {
        "task_008_execute_b": [{"state": State.FAILED, "reason": "crashed"}],
        "task_022_ship": [
            {"facts": (ShipComplete(task_id="task_022_ship", target="main", commit="c", merged=("a", "docs")),)}
        ],
    }
    row = rows_of(drive_pipeline(told))["b"]
    assert (row.step, row.state, row.reason, row.attempt) == ("execute", State.FAILED, "crashed", 2)


def test_a_plain_graph_shows_tasks_that_run_failed_or_wait(drive_graph: Drive) -> None:
    tasks = (*(Task(id=name) for name in "vwxyz"), Task(id="last", dependencies=tuple("vwxyz")))
    records = drive_graph(tasks, {"x": [{"state": State.FAILED, "reason": "boom"}]})
    middle = until(records, "x", State.PENDING)
    assert rows_of(middle)["x"].reason == "retry in 2.0s (attempt 1 of 2: boom)"
    assert {name: row.state for name, row in rows_of(records).items()} == {"x": State.FAILED}


def test_many_dependencies_are_not_all_named() -> None:
    tasks = (*(Task(id=name) for name in "vwxyz"), Task(id="last", dependencies=tuple("vwxyz"), workstream="w"))
    state = replay([RunStarted(kind="graph", started_at=0, tasks=tasks, policy=RunPolicy())])
    (row,) = progress(state, attempts([]), 0)
    assert row.reason == "waits for v, w, x and 2 more"


def test_an_interrupted_attempt_goes_on_counting_as_one(
    pipeline_run: list[Record], appended: Callable[..., list[Record]]
) -> None:
    started = until(pipeline_run, "task_007_execute_a", State.RUNNING)
    records = appended(started, 10, AttemptInterrupted(task_id="task_007_execute_a", attempt=1))
    assert len(attempts(records).of["task_007_execute_a"]) == 1


@pytest.mark.parametrize(("ended_at", "elapsed"), [(None, 50), (130, 30), (90, 0)])
def test_time_never_runs_backwards(ended_at: int | None, elapsed: int) -> None:
    assert Attempt("t", 1, started_at=100, ended_at=ended_at).elapsed(150) == elapsed
