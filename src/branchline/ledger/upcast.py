"""Ledgers of version 1, read as if they had been written today.

A step of version 1 told its fact, and told it again, with more, in the `outputs` of the move that ended its attempt. What only
the outputs had goes into the fact here; a step that told no fact gets one, in a record with the number of that move.
The moves keep their outputs: checkpoint files of the time have them too.
"""

from typing import Any

import msgspec

from branchline.core.events import AnyEvent, RunStarted, TasksAdded, Transition
from branchline.core.facts import FILES, Archived, Codegate, MergeConflict, Preflight, PrOpened, RunPrepared, StepFact
from branchline.core.graph import Task
from branchline.core.states import State
from branchline.ledger.codec import BadRecord, Record

RENAMED = {"planning": {"plan": "file"}, "merge": {"repair": "workstream", "commit_of": "commit"}}
UNTOLD: dict[tuple[str, State], tuple[type[StepFact], str]] = {
    ("preflight", State.COMPLETED): (Preflight, "report"),
    ("run_init", State.COMPLETED): (RunPrepared, "base"),
    ("code_gate", State.FAILED): (Codegate, "batch"),  # it repeated what was rejected: that batch stands again
    ("merge", State.FAILED): (MergeConflict, "tip"),
    ("archive", State.COMPLETED): (Archived, "archive"),
}
"""How a step ended that told no fact: the fact that it has now, and the output that it is known by."""


class Upcaster:
    """Takes records in as they are read. `told`: where in `records` the fact of each running attempt is."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._tasks: dict[str, Task] = {}
        self._told: dict[str, int] = {}

    def take(self, record: Record) -> None:
        """One more record of version 1. Raises BadRecord if it is none that this version could have written."""
        event: AnyEvent = record.event
        match event:
            case RunStarted(tasks=tasks) | TasksAdded(tasks=tasks):
                self._tasks.update((task.id, task) for task in tasks if task.step)
            case Transition(new_state=State.RUNNING):
                self._told.pop(event.task_id, None)
            case Transition() if event.outputs and event.task_id in self._tasks:
                event = self._ended(record, event)
            case _ if isinstance(event, StepFact | PrOpened):
                event = msgspec.structs.replace(event, **_located(msgspec.structs.asdict(event), record.run_id))
                if isinstance(event, StepFact):
                    self._told[event.task_id] = len(self.records)
        self.records.append(msgspec.structs.replace(record, event=event))

    def _ended(self, record: Record, move: Transition) -> Transition:
        """Complete the fact of the attempt that ends, or insert it; the move, with the hint or the traceback of a failure."""
        name, task = move.task_id, self._tasks[move.task_id]
        renamed = {RENAMED.get(task.step, {}).get(key, key): value for key, value in move.outputs.items()}
        told = _located(renamed, record.run_id)
        kind, sign = UNTOLD.get((task.step, move.new_state), (None, ""))
        try:
            if (place := self._told.get(name)) is not None:
                fact = self.records[place].event
                more = {key: value for key, value in told.items() if key in fact.__struct_fields__}
                fact = msgspec.convert({**msgspec.to_builtins(fact), **more}, type(fact))
                self.records[place] = msgspec.structs.replace(self.records[place], event=fact)
            elif kind is not None and sign in told:
                known = {"task_id": name, "workstream": task.workstream, "verdict": "rejected", "reason": move.reason}
                fact = msgspec.convert({**known, **told, "event": kind.__struct_config__.tag}, kind)
                self.records.append(msgspec.structs.replace(record, event=fact))
        except msgspec.ValidationError as error:
            raise BadRecord(f"its outputs are not those of a step: {error}") from error
        said = {key: str(told[key]) for key in ("hint", "traceback") if key in told}
        return msgspec.structs.replace(move, **said)


def _located(fields: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Fields with the paths in the run's folder, which were absolute, as they are from there."""
    folder = f"/.runs/{run_id}/"
    return {key: value.partition(folder)[2] or value if key in FILES else value for key, value in fields.items()}
