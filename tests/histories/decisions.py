"""What the core makes of a ledger, record by record: a digest of the state, and what it decides then. One line each."""

import hashlib
import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from branchline.core.events import AttemptResumed, GaveUp, RunEnded, TasksAdded, Transition
from branchline.core.run_state import RunState
from branchline.core.scheduler import KillAttempt, Wanted, decide, wake_at
from branchline.core.states import State
from branchline.ledger.log import verified

HERE = Path(__file__).parent
DIGITS = 16


def ledgers() -> list[Path]:
    """The canned ledgers, of every release."""
    return sorted(HERE.glob("*.jsonl"))


def decisions(ledger: Path) -> Iterator[str]:
    """`number digest commands`, as a run that had come so far would have decided at the time of that record."""
    data = ledger.read_bytes()
    reading = verified(data, None, json.loads(data.split(b"\n", 1)[0])["run_id"])
    assert reading.fault is None
    state, old = RunState(), reading.records[0].v == 1
    for record, after in zip_longest(reading.records, reading.records[1:]):
        state.apply(record.event)
        if after is not None and after.seq == record.seq:  # a fact that an old ledger has in its move alone
            continue
        wanted = [_words(one) for one in decide(state, record.at)]
        due = wake_at(state, record.at)
        yield " ".join([str(record.seq), digest(state, old=old), *wanted, *([] if due is None else [f"wake({due})"])])


def digest(state: RunState, *, old: bool) -> str:
    """What decides about a run, and nothing that a later version adds to it. `old`: steps of version 1 had outputs."""
    tasks = {
        name: [r.state, r.attempt, r.reason, r.error_class, r.retryable, r.retry_at, r.ended, r.lost, r.doomed]
        for name, r in state.records.items()
    }
    account = state.spending.total
    told = {
        "tasks": tasks,
        "outputs": {name: r.outputs if old else r.handed_on() for name, r in state.records.items()},
        "dependencies": {name: record.task.dependencies for name, record in state.records.items()},
        "sets": [sorted(one) for one in (state.ready, state.running, state.failed, state.doomed)],
        "latest": state.latest,
        "open": state.open,
        "stop": [state.cancel_requested, state.stopped_by, state.plan_waits],
        "money": [round(account.spent, 6), {k: round(v, 6) for k, v in sorted(account.reserved.items())}],
        "end": None if state.end is None else [state.end.status, state.end.exit_code, state.end.reason],
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _words(wanted: Wanted) -> str:
    """`StartAttempt(task_001_preflight,1)`; a round by its new tasks."""
    match wanted:
        case TasksAdded():
            return f"OpenRound({','.join(task.id for task in wanted.tasks)})"
        case AttemptResumed():
            name, fields = "StartAttempt", [wanted.task_id, wanted.attempt, True, wanted.reserved_usd]
        case GaveUp():
            name, fields = "GiveUp", [wanted.task_id, wanted.reason]
        case RunEnded():
            name, fields = "EndRun", []
        case KillAttempt():
            name, fields = "KillAttempt", [wanted.task_id, wanted.reason]
        case Transition(new_state=State.RUNNING):
            name, fields = "StartAttempt", [wanted.task_id, wanted.attempt, wanted.reserved_usd]
        case Transition(new_state=State.PENDING):
            name, fields = "RetryLater", [wanted.task_id, wanted.retry_at, wanted.reason]
        case Transition(new_state=State.SKIPPED):
            name, fields = "SkipTask", [wanted.task_id, wanted.reason]
        case Transition():
            name, fields = "CancelTask", [wanted.task_id, wanted.reason, wanted.error_class]
        case _:
            raise AssertionError(wanted)
    return f"{name}({','.join(_plain(value) for value in fields if value not in (None, False, ''))})"


def _plain(value: object) -> str:
    return str(value).replace(" ", "_")
