import json
from pathlib import Path
from typing import Any

import pytest

from branchline.core.events import AnyEvent, RunEnded, RunResumed, Transition
from branchline.core.graph import Task
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.ledger.checkpoint import Scribe, page_due, restore_missing, run_page_at
from branchline.ledger.codec import Record
from branchline.ledger.paths import RunPaths
from strategies import after, started


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    made = RunPaths(tmp_path, "R")
    made.make()
    return made


def state() -> RunState:
    """Tasks `run` and `a.b` are completed, `f` has failed, `p` waits."""
    made = replay([started(Task(id="run"), Task(id="a.b"), Task(id="f"), Task(id="p"))])
    for name, end in {"run": State.COMPLETED, "a.b": State.COMPLETED, "f": State.FAILED}.items():
        made.apply(Transition(task_id=name, old_state=State.PENDING, new_state=State.RUNNING, attempt=1))
        outputs = {"file": "x\udcff"}
        made.apply(Transition(task_id=name, old_state=State.RUNNING, new_state=end, attempt=1, outputs=outputs))
    return made


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


def test_the_file_of_a_completed_task(paths: RunPaths) -> None:
    scribe = Scribe(paths)
    scribe.note(state(), "a.b", 1)
    scribe.close()
    assert load(paths.checkpoints / "a.b.json") == {
        "task_id": "a.b",
        "run_id": "R",
        "trace_id": "R",
        "state": "COMPLETED",
        "attempt": 1,
        "timestamp": "1970-01-01T00:00:00.001Z",
        "outputs": {"file": "x\udcff"},
    }
    assert [path.name for path in paths.checkpoints.iterdir()] == ["a.b.json"]


def note_run(paths: RunPaths, made: RunState, *, last_completed: str) -> None:
    scribe = Scribe(paths)
    scribe.note_run(made, checkpoint_id="7", last_completed=last_completed, at=0)
    scribe.close()


def test_a_checkpoint_that_cannot_be_written_stops_nothing(paths: RunPaths) -> None:
    paths.checkpoint.with_suffix(".tmp").symlink_to("/dev/full")
    note_run(paths, state(), last_completed="run")
    assert not paths.checkpoint.exists()


def test_a_run_with_nothing_left_to_do_cannot_be_resumed(paths: RunPaths) -> None:
    made = replay([started(Task(id="a"))])
    for old, new in ((State.PENDING, State.RUNNING), (State.RUNNING, State.COMPLETED)):
        made.apply(Transition(task_id="a", old_state=old, new_state=new, attempt=1))
    note_run(paths, after(made, RunEnded(status="succeeded", exit_code=0)), last_completed="a")
    assert load(paths.checkpoint)["can_resume"] is False


@pytest.mark.parametrize("status", [None, "failed", "partial"])
def test_the_file_of_the_run(paths: RunPaths, status: Any) -> None:
    made = state() if status is None else after(state(), RunEnded(status=status, exit_code=0))
    note_run(paths, made, last_completed="a.b")
    assert load(paths.checkpoint) == {
        "checkpoint_id": "7",
        "run_id": "R",
        "trace_id": "R",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "last_completed_task": "a.b",
        "pending_tasks": ["p"],
        "failed_tasks": ["f"],
        "task_states": {"run": "COMPLETED", "a.b": "COMPLETED", "f": "FAILED", "p": "PENDING"},
        "can_resume": True,
    }


def test_files_that_a_crash_kept_from_being_written_are_written(paths: RunPaths) -> None:
    scribe = Scribe(paths)
    scribe.note(state(), "run", 0)
    scribe.close()
    note_run(paths, state(), last_completed="run")
    before = (paths.checkpoints / "run.json").read_bytes()
    moves = (
        Transition(task_id=one, old_state=State.RUNNING, new_state=State.COMPLETED, attempt=1) for one in ("run", "a.b")
    )
    records = [Record(seq=seq, epoch=1, id="", at=5, run_id="R", event=move) for seq, move in enumerate(moves)]
    restore_missing(paths, state(), records)
    assert sorted(path.name for path in paths.checkpoints.iterdir()) == ["a.b.json", "run.json"]
    assert (paths.checkpoints / "run.json").read_bytes() == before
    assert load(paths.checkpoints / "a.b.json")["timestamp"] == "1970-01-01T00:00:00.005Z"


def recorded(*events: AnyEvent) -> tuple[list[Record], RunState]:
    records = [Record(seq=seq, epoch=1, id="", at=seq, run_id="R", event=one) for seq, one in enumerate(events)]
    return records, replay(events)


def move(name: str, old: State, new: State) -> Transition:
    return Transition(task_id=name, old_state=old, new_state=new, attempt=1)


def done(name: str) -> tuple[Transition, Transition]:
    return move(name, State.PENDING, State.RUNNING), move(name, State.RUNNING, State.COMPLETED)


def test_how_far_the_file_of_the_run_has_come() -> None:
    first = started(Task(id="a", checkpoint="named"), Task(id="b"))
    end = RunEnded(status="succeeded", exit_code=0)
    assert page_due(*recorded(first)) is None
    assert page_due(*recorded(first, *done("a"))) == 2
    assert page_due(*recorded(first, *done("a"), *done("b"))) == 2, "b has no name"
    assert page_due(*recorded(first, *done("a"), *done("b"), end)) == 5
    assert page_due(*recorded(first, *done("a"), RunResumed(by="x"), end)) == 2, "nothing completed at that moment"


@pytest.mark.parametrize("left", [b"", b"{", b'{"checkpoint_id": "2"}', b"[]"])
def test_the_file_of_a_run_that_ended_as_it_was_killed_is_written(paths: RunPaths, left: bytes) -> None:
    records, made = recorded(started(Task(id="a")), *done("a"), RunEnded(status="succeeded", exit_code=0))
    if left:
        paths.checkpoint.write_bytes(left)
    restore_missing(paths, made, records)
    whole = paths.checkpoint.read_bytes()
    assert load(paths.checkpoint)["checkpoint_id"] == "3"
    assert whole == run_page_at(paths, records, 3)
    paths.checkpoint.write_bytes(b'{"checkpoint_id": "4"}')
    restore_missing(paths, made, records)
    assert load(paths.checkpoint) == {"checkpoint_id": "4"}, "it is further than it must be"
    paths.checkpoint.unlink()
    paths.checkpoint.symlink_to("/dev/full")
    restore_missing(paths, made, records)
