"""Checkpoint files: views of the ledger, for people and other programs. A lost one is written again on resume."""

import json
import os
import queue
import threading
from contextlib import suppress

from branchline.core.rounds import reopen_round
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.ledger.codec import timestamp
from branchline.ledger.paths import RunPaths


class Scribe:
    """Writes the files of completed tasks in a thread of its own: making a file costs more than deciding about a task."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._pages: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def note(self, state: RunState, task_id: str, at: int) -> None:
        """Have `checkpoints/<task_id>.json` written, as the task is now; `at` in Unix milliseconds."""
        self._pages.put((f"{self._paths.checkpoints}/{task_id}.json", _page(self._paths, state, task_id, at)))

    def note_run(self, state: RunState, *, checkpoint_id: str, last_completed: str, at: int) -> None:
        """Write `checkpoint.json`: the whole run at a checkpoint, for whoever reads no ledger.

        Not among the tasks' files, where a task `run` has its own.
        """
        states = {name: record.state for name, record in state.records.items()}
        page = {
            "checkpoint_id": checkpoint_id,
            "run_id": self._paths.run_id,
            "trace_id": self._paths.run_id,
            "timestamp": timestamp(at),
            "last_completed_task": last_completed,
            "pending_tasks": [name for name, state_ in states.items() if state_ == State.PENDING],
            "failed_tasks": [name for name, state_ in states.items() if state_ == State.FAILED],
            "task_states": states,
            "can_resume": state.end is None or (state.end.status != "cancelled" and reopen_round(state) is not None),
        }
        aside = self._paths.checkpoint.with_suffix(".tmp")
        with suppress(OSError):  # a view only: it is not synced, and a full disk must not look like a crash of ours
            aside.write_text(json.dumps(page, sort_keys=True) + "\n", encoding="utf-8")
            os.replace(aside, self._paths.checkpoint)

    def close(self) -> None:
        """Wait until everything is written."""
        self._pages.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (page := self._pages.get()) is not None:
            with suppress(OSError):  # a view only: a resume writes what is missing
                _write_file(*page)


def _page(paths: RunPaths, state: RunState, task_id: str, at: int) -> bytes:
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


def restore_missing(paths: RunPaths, state: RunState, at: int) -> None:
    """Write the files of completed tasks that a crash kept from being written."""
    for name, record in state.records.items():
        path = paths.checkpoints / f"{name}.json"
        if record.state == State.COMPLETED and not (path.exists() and path.stat().st_size):
            _write_file(str(path), _page(paths, state, name, at))
