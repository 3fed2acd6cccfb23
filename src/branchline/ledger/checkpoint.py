"""Checkpoint files: views of the ledger, for people and other programs. A lost one is written again on resume."""

import json
import os
import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

from branchline.core.events import RunEnded, Transition
from branchline.core.rounds import reopen_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.ledger.codec import Record, timestamp
from branchline.ledger.paths import RunPaths
from branchline.process.output import head

LARGEST = 1 << 26  # bytes of a page; a larger one is none of ours


class Scribe:
    """Writes the files of completed tasks in a thread of its own: making a file costs more than deciding about a task."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._pages: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def note(self, state: RunState, task_id: str, at: int) -> None:
        """Have `checkpoints/<task_id>.json` written, as the task is now; `at` in Unix milliseconds."""
        self._pages.put((f"{self._paths.checkpoints}/{task_id}.json", task_page(self._paths, state, task_id, at)))

    def note_run(self, state: RunState, *, checkpoint_id: str, last_completed: str, at: int) -> None:
        """Write `checkpoint.json`: the whole run at a checkpoint, for whoever reads no ledger.

        Not among the tasks' files, where a task `run` has its own.
        """
        page = run_page(self._paths, state, checkpoint_id=checkpoint_id, last_completed=last_completed, at=at)
        aside = self._paths.checkpoint.with_suffix(".tmp")
        with suppress(OSError):  # a view only: it is not synced, and a full disk must not look like a crash of ours
            aside.write_bytes(page)
            os.replace(aside, self._paths.checkpoint)

    def close(self) -> None:
        """Wait until everything is written."""
        self._pages.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (page := self._pages.get()) is not None:
            with suppress(OSError):  # a view only: a resume writes what is missing
                _write_file(*page)


def run_page(paths: RunPaths, state: RunState, *, checkpoint_id: str, last_completed: str, at: int) -> bytes:
    """What `checkpoint.json` holds after the record `checkpoint_id`, which was written `at` that time."""
    states = {name: record.state for name, record in state.records.items()}
    page = {
        "checkpoint_id": checkpoint_id,
        "run_id": paths.run_id,
        "trace_id": paths.run_id,
        "timestamp": timestamp(at),
        "last_completed_task": last_completed,
        "pending_tasks": [name for name, state_ in states.items() if state_ == State.PENDING],
        "failed_tasks": [name for name, state_ in states.items() if state_ == State.FAILED],
        "task_states": states,
        "can_resume": state.end is None or (state.end.status != "cancelled" and reopen_round(state) is not None),
    }
    return json.dumps(page, sort_keys=True).encode("ascii") + b"\n"


def task_page(paths: RunPaths, state: RunState, task_id: str, at: int) -> bytes:
    """What `checkpoints/<task_id>.json` holds; `at` is when the task's completion was written."""
    record = state.records[task_id]
    page = {
        "task_id": task_id,
        "run_id": paths.run_id,
        "trace_id": paths.run_id,
        "state": record.state,
        "attempt": record.attempt,
        "timestamp": timestamp(at),
        "outputs": record.handed_on(),
    }
    return json.dumps(page, sort_keys=True).encode("ascii") + b"\n"


def _write_file(path: str, data: bytes) -> None:
    """In one write; a file that a kill left empty counts as missing."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def completed_at(records: Iterable[Record]) -> dict[str, int]:
    """When each task was completed, in Unix milliseconds."""
    moves = ((one.event, one.at) for one in records)
    return {e.task_id: at for e, at in moves if isinstance(e, Transition) and e.new_state == State.COMPLETED}


def page_due(records: Sequence[Record], state: RunState) -> int | None:
    """The record that `checkpoint.json` has come to at least: the last named checkpoint, or the end of the run."""
    due, before = None, False
    for one in records:
        move = one.event
        done = isinstance(move, Transition) and move.new_state == State.COMPLETED
        named = isinstance(move, Transition) and state.records[move.task_id].task.checkpoint is not None
        if (done and named) or (before and isinstance(move, RunEnded)):
            due = one.seq
        before = done
    return due


def run_page_at(paths: RunPaths, records: Sequence[Record], seq: int) -> bytes:
    """What `checkpoint.json` holds of the run up to a record."""
    upto = [one for one in records if one.seq <= seq]
    last = next(reversed(completed_at(upto)), "")
    state = replay(one.event for one in upto)
    return run_page(paths, state, checkpoint_id=f"{seq}", last_completed=last, at=upto[-1].at)


def restore_missing(paths: RunPaths, state: RunState, records: Sequence[Record]) -> None:
    """Write the files that a crash kept from being written, as they would have been."""
    for name, at in completed_at(records).items():
        path = paths.checkpoints / f"{name}.json"
        if not (path.exists() and path.stat().st_size):
            _write_file(str(path), task_page(paths, state, name, at))
    due = page_due(records, state)
    if due is not None and not _reaches(paths, due):
        with suppress(OSError):
            _write_file(str(paths.checkpoint), run_page_at(paths, records, due))


def _reaches(paths: RunPaths, seq: int) -> bool:
    with suppress(ValueError, KeyError, TypeError):
        return int(json.loads(head(paths.checkpoint, LARGEST))["checkpoint_id"]) >= seq
    return False
