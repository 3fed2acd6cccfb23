"""A long run's ledger, by the ledger's own writer: `make_ledger.py ROOT RUN_ID RECORDS`.

Independent tasks in the order of their numbers. Every third one fails once and is tried again, so a task takes three
records on average. The last record begins an attempt that nobody ended, as after a kill.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from branchline.core.events import AnyEvent, RunPolicy, RunStarted, Transition
from branchline.core.graph import Task
from branchline.core.states import State
from branchline.engine.recover import begin, clock
from branchline.ledger.paths import RunPaths

BATCH = 500


def walk(tasks: tuple[Task, ...]) -> Iterator[AnyEvent]:
    """The events of all tasks."""
    for number, task in enumerate(tasks):
        attempt = 1
        yield move(task, State.PENDING, State.RUNNING, attempt)
        if number % 3 == 0:
            yield move(task, State.RUNNING, State.FAILED, attempt, reason="true ended by exit code 1")
            yield move(task, State.FAILED, State.PENDING, attempt, reason="attempt 1 of 3: true ended by exit code 1")
            attempt = 2
            yield move(task, State.PENDING, State.RUNNING, attempt)
        yield move(task, State.RUNNING, State.COMPLETED, attempt, outputs={"exit_code": 0})


def move(task: Task, old: State, new: State, attempt: int, **more: object) -> Transition:
    """One transition."""
    return Transition(task_id=task.id, old_state=old, new_state=new, attempt=attempt, **more)  # type: ignore[arg-type]


def main(root: Path, run_id: str, records: int) -> None:
    """Write record 0 and as many transitions as fill the ledger up."""
    tasks = tuple(Task(id=f"task_{number:06d}", run=("true",)) for number in range(records // 3 + 1))
    started = RunStarted(kind="graph", started_at=clock(), tasks=tasks, policy=RunPolicy())
    events = islice(walk(tasks), records - 1)
    with begin(RunPaths(root, run_id), started) as held:
        while batch := list(islice(events, BATCH)):
            held.ledger.append(batch)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
