from branchline.core.events import GaveUp, TasksAdded, Transition
from branchline.core.graph import Task
from branchline.core.rounds import new_round, next_id, reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from strategies import after, started


def walked(state: RunState, name: str, *states: State) -> None:
    for new in states:
        record = state.records[name]
        attempt = record.attempt + (new == State.RUNNING)
        state.apply(Transition(task_id=name, old_state=record.state, new_state=new, attempt=attempt))


def chain() -> RunState:
    """a -> b -> c, and an independent d."""
    tasks = (Task(id="a"), Task(id="b", dependencies=("a",)), Task(id="c", dependencies=("b",)), Task(id="d"))
    return replay([started(*tasks)])


def done(state: RunState, *names: str) -> RunState:
    for name in names:
        walked(state, name, State.RUNNING, State.COMPLETED)
    return state


def test_ids_count_up_and_avoid_what_is_taken() -> None:
    state = replay([started(Task(id="x"), Task(id="x_r2"))])
    assert next_id(state, state.records["x"].task) == "x_r3"
    again = new_round(state, ["x"], "again")
    assert next_id(after(state, again), again.tasks[0]) == "x_r4"


def test_a_retry_redoes_what_was_built_on_the_task_and_rewires_what_waits() -> None:
    state = done(chain(), "a", "b")
    added = retry_round(state, "a")
    assert isinstance(added, TasksAdded)
    assert added.reason == "retry of a"
    assert added.replaces == {"a_r2": "a", "b_r2": "b"}
    assert {task.id: task.dependencies for task in added.tasks} == {"a_r2": (), "b_r2": ("a_r2",)}
    assert added.rewired == {"c": ("b_r2",)}
    state.apply(added)
    assert state.ready == {"a_r2", "d"}
    assert list(state.current()) == ["a", "b", "c", "d"]
    assert state.current()["b"].task.id == "b_r2"
    again = done(state, "a_r2", "b_r2", "c")
    assert again.open == 1


def test_a_retry_names_the_latest_round_whichever_is_asked_for() -> None:
    state = done(chain(), "d")
    for name in ("d", "d"):
        added = retry_round(state, name)
        assert isinstance(added, TasksAdded)
        state.apply(added)
        done(state, added.tasks[0].id)
    assert list(state.records) == ["a", "b", "c", "d", "d_r2", "d_r3"]
    assert state.latest["d"] == "d_r3"


def test_a_retry_that_may_not_be_says_why() -> None:
    state = done(chain(), "a")
    assert retry_round(state, "ghost") == "there is no task ghost"
    assert retry_round(state, "b") == "task b is PENDING; only a task that has ended can be retried"
    walked(state, "b", State.RUNNING)
    assert retry_round(state, "a") == "task b is working on its result; wait for it, or cancel the run"


def test_an_undecided_failure_downstream_is_superseded() -> None:
    state = done(chain(), "a")
    walked(state, "b", State.RUNNING, State.FAILED)
    added = retry_round(state, "a")
    assert isinstance(added, TasksAdded)
    state.apply(added)
    assert state.failed == set()
    assert state.records["b"].ended
    assert state.open == 4
    assert state.doomed == set()


def test_nothing_to_reopen() -> None:
    assert reopen_round(done(chain(), "a", "b", "c", "d")) is None
    assert reopen_round(chain()) is None


def test_reopening_redoes_what_ended_badly_and_what_follows() -> None:
    state = done(chain(), "a", "d")
    walked(state, "b", State.RUNNING, State.FAILED)
    state.apply(GaveUp(task_id="b", reason="broken"))
    walked(state, "c", State.CANCELLED)
    added = reopen_round(state)
    assert added is not None
    assert added.replaces == {"b_r2": "b", "c_r2": "c"}
    assert added.tasks[0].dependencies == ("a",)


def test_reopening_from_a_checkpoint_redoes_all_that_it_had_not_seen_completed() -> None:
    state = done(chain(), "a", "b", "d")
    added = reopen_round(state, completed=["a"])
    assert added is not None
    assert added.replaces == {"b_r2": "b", "d_r2": "d"}
    assert added.rewired == {"c": ("b_r2",)}


def test_a_repair_counts_the_rounds_of_a_workstream_and_a_redo_does_not() -> None:
    state = replay([started(Task(id="a", workstream="w"), Task(id="b"))])
    done(state, "a", "b")
    assert [task.round for task in new_round(state, ["a", "b"], "why", repair=True).tasks] == [2, 1]
    assert [task.round for task in new_round(state, ["a", "b"], "why").tasks] == [1, 1]
