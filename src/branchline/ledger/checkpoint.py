"""Checkpoint files: views of the ledger, for people and other programs. A lost one is written again on resume."""

import json
import os
from pathlib import Path
from typing import Any

from branchline.core.rounds import reopen_round
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.ledger.codec import timestamp
from branchline.ledger.paths import RunPaths


def write_task(paths: RunPaths, state: RunState, task_id: str, at: int) -> None:
    """`checkpoints/<task_id>.json` of a completed task; `at` in Unix milliseconds."""
    record = state.records[task_id]
    _replace(
        paths.checkpoints / f"{task_id}.json",
        {
            "task_id": task_id,
            "run_id": paths.run_id,
            "trace_id": paths.run_id,
            "state": record.state,
            "attempt": record.attempt,
            "timestamp": timestamp(at),
            "outputs": record.outputs,
        },
    )


def write_run(paths: RunPaths, state: RunState, *, checkpoint_id: str, last_completed: str, at: int) -> None:
    """`checkpoint.json`: the whole run at a checkpoint; not among the tasks' files, where a task `run` has its own."""
    states = {name: record.state for name, record in state.records.items()}
    _replace(
        paths.checkpoint,
        {
            "checkpoint_id": checkpoint_id,
            "run_id": paths.run_id,
            "trace_id": paths.run_id,
            "timestamp": timestamp(at),
            "last_completed_task": last_completed,
            "pending_tasks": [name for name, state_ in states.items() if state_ == State.PENDING],
            "failed_tasks": [name for name, state_ in states.items() if state_ == State.FAILED],
            "task_states": states,
            "can_resume": _can_resume(state),
        },
    )


def _can_resume(state: RunState) -> bool:
    if state.end is None:
        return True
    return state.end.status != "cancelled" and reopen_round(state) is not None


def restore_missing(paths: RunPaths, state: RunState, at: int) -> None:
    """Write the files of completed tasks that a crash kept from being written."""
    for name, record in state.records.items():
        if record.state == State.COMPLETED and not (paths.checkpoints / f"{name}.json").exists():
            write_task(paths, state, name, at)


def _replace(path: Path, data: dict[str, Any]) -> None:
    """Whole or not at all; unsynced, because the ledger is the truth and these can be made again."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(data, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(aside, path)
