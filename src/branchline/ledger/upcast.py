"""Ledgers of version 1, read as if they had been written today.

A step of version 1 told its fact, and told it again, with more, in the `outputs` of the move that ended its attempt. What only
the outputs had goes into the fact here; a step that told no fact gets one, in a record with the number of that move.
The moves keep their outputs: checkpoint files of the time have them too.
"""

from typing import Any

import msgspec

from branchline.core.events import AnyEvent, RunStarted, TasksAdded, Transition
from branchline.core.facts import FILES, Archived, MergeConflict, Preflight, PrOpened, RunPrepared, StepFact
from branchline.core.states import State
from branchline.ledger.codec import BadRecord, Record

RENAMED = {"planning": {"plan": "file"}, "merge": {"repair": "workstream", "commit_of": "commit"}}
UNTOLD: dict[tuple[str, State], type[StepFact]] = {
    ("preflight", State.COMPLETED): Preflight,
    ("run_init", State.COMPLETED): RunPrepared,
    ("merge", State.FAILED): MergeConflict,
    ("archive", State.COMPLETED): Archived,
}


class Upcaster:
    """Takes records in as they are read. `told`: where in `records` the fact of each running attempt is."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._steps: dict[str, str] = {}
        self._told: dict[str, int] = {}

    def take(self, record: Record) -> None:
        """One more record of version 1. Raises BadRecord if it is none that this version could have written."""
        event: AnyEvent = record.event
        match event:
            case RunStarted(tasks=tasks) | TasksAdded(tasks=tasks):
                self._steps.update((task.id, task.step) for task in tasks)
            case Transition(new_state=State.RUNNING):
                self._told.pop(event.task_id, None)
            case Transition() if event.outputs and self._steps.get(event.task_id):
                event = self._ended(record, event)
            case _ if isinstance(event, StepFact | PrOpened):
                event = msgspec.structs.replace(event, **_located(msgspec.structs.asdict(event), record.run_id))
                if isinstance(event, StepFact):
                    self._told[event.task_id] = len(self.records)
        self.records.append(msgspec.structs.replace(record, event=event))

    def _ended(self, record: Record, move: Transition) -> Transition:
        """Complete the fact of the attempt that ends, or insert it; the move, with the hint or the traceback of a failure."""
        step, name = self._steps[move.task_id], move.task_id
        told = {RENAMED.get(step, {}).get(key, key): value for key, value in move.outputs.items()}
        told = _located(told, record.run_id)
        try:
            if (place := self._told.get(name)) is not None:
                self.records[place] = _with(self.records[place], told)
            elif (kind := UNTOLD.get((step, move.new_state))) and told.keys() >= _required(kind):
                fact = msgspec.convert({**told, "task_id": name, "event": kind.__struct_config__.tag}, kind)
                self.records.append(msgspec.structs.replace(record, event=fact))
        except msgspec.ValidationError as error:
            raise BadRecord(f"its outputs are not those of a step: {error}") from error
        said = {key: str(told[key]) for key in ("hint", "traceback") if key in told}
        return msgspec.structs.replace(move, **said)


def _required(kind: type[StepFact]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required} - {"task_id"}


def _with(record: Record, told: dict[str, Any]) -> Record:
    """A fact, completed by what the outputs say."""
    fact = record.event
    more = {key: value for key, value in told.items() if key in fact.__struct_fields__}
    return msgspec.structs.replace(record, event=msgspec.convert({**msgspec.to_builtins(fact), **more}, type(fact)))


def _located(fields: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Fields with the paths in the run's folder, which were absolute, as they are from there."""
    folder = f"/.runs/{run_id}/"
    return {key: value.partition(folder)[2] or value if key in FILES else value for key, value in fields.items()}
