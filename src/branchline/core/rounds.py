"""New rounds: tasks that redo others. Terminal states stay terminal; what is done again gets a new id (`..._r2`)."""

from collections.abc import Iterable
from itertools import count

from msgspec.structs import replace

from branchline.core.events import TasksAdded
from branchline.core.graph import Task
from branchline.core.run_state import RunState
from branchline.core.states import State


def next_id(state: RunState, task: Task) -> str:
    """The id of a task's next round: `task_006_execute_a` -> `task_006_execute_a_r2` -> `task_006_execute_a_r3`."""
    origin = task.origin or task.id
    return next(name for name in (f"{origin}_r{number}" for number in count(2)) if name not in state.records)


def new_round(state: RunState, redo: Iterable[str], reason: str, *, repair: bool = False) -> TasksAdded:
    """The event that redoes `redo` (ids of latest rounds) and rewires the waiting tasks that depended on them.

    A repair counts up `round` of the tasks that belong to a workstream: its agent goes on from what it had, with the
    report. Any other redo starts the task afresh.
    """
    chosen = [name for name in state.records if name in set(redo)]
    renamed = {name: next_id(state, state.records[name].task) for name in chosen}
    tasks = []
    for name in chosen:
        task = state.records[name].task
        tasks.append(
            replace(
                task,
                id=renamed[name],
                origin=task.origin or task.id,
                dependencies=_renamed(state, task.dependencies, renamed),
                round=task.round + 1 if repair and task.workstream else task.round,
            )
        )
    rewired = {}
    for name in chosen:
        for dependant in state.dependants[name]:
            record = state.records[dependant]
            if record.state == State.PENDING and dependant not in renamed:
                rewired[dependant] = _renamed(state, record.task.dependencies, renamed)
    return TasksAdded(
        reason=reason, tasks=tuple(tasks), replaces={new: old for old, new in renamed.items()}, rewired=rewired
    )


def _renamed(state: RunState, dependencies: Iterable[str], renamed: dict[str, str]) -> tuple[str, ...]:
    """Dependencies moved to their new round, or to the latest one there is."""
    return tuple(renamed.get(d) or state.latest[state.records[d].task.origin or d] for d in dependencies)


def downstream(state: RunState, names: Iterable[str]) -> set[str]:
    """The tasks and all latest-round tasks that depend on them, directly or not, and are not waiting."""
    latest = set(state.latest.values())
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        todo += [d for d in state.dependants[name] if d in latest and state.records[d].state != State.PENDING]
    return found


def retry_round(state: RunState, task_id: str) -> TasksAdded | str:
    """The round that a person's `retry TASK` opens, or the sentence that says why it may not."""
    if state.rolled_back is not None:
        return "the run was rolled back, and what is in the history does not merge again: begin a new run"
    if task_id not in state.records:
        return f"there is no task {task_id}"
    name = state.latest[state.records[task_id].task.origin or task_id]
    record = state.records[name]
    if not record.ended:
        return f"task {name} is {record.state}; only a task that has ended can be retried"
    redo = downstream(state, [name])
    if busy := sorted(redo & state.running):
        return f"task {busy[0]} is working on its result; wait for it, or cancel the run"
    return new_round(state, redo, f"retry of {name}")


def reopen_round(state: RunState, completed: Iterable[str] | None = None) -> TasksAdded | None:
    """The round that resumes an ended run: all that ended badly and what follows from it.

    With `completed` (the origins that a checkpoint saw completed), everything else that ended is redone instead.
    """
    if completed is None:
        roots = [n for n in state.latest.values() if state.records[n].state in {State.FAILED, State.CANCELLED}]
    else:
        kept = set(completed)
        roots = [n for o, n in state.latest.items() if o not in kept and state.records[n].state != State.PENDING]
    redo = downstream(state, roots)
    return new_round(state, redo, "resume") if redo else None
