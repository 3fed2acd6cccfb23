"""What a run amounts to, from its state alone: exit codes and recaps come from here, never from an exit status."""

from typing import Literal

import msgspec

from branchline.core.approvals import sentence, waiting_for
from branchline.core.facts import GatedFact, IntegrationComplete, ShipComplete
from branchline.core.model.verdict import REVIEW, Outcome
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.states import State

RunStatus = Literal["succeeded", "partial", "failed", "cancelled"]
SHORT = 12
EXIT_CODES: dict[RunStatus, int] = {"succeeded": 0, "partial": 5, "failed": 1, "cancelled": 1}
EXIT_UNCHECKED = 6


class WorkstreamOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Where a workstream ended: COMPLETED means that it landed. `step` is the furthest it came."""

    id: str
    state: State
    reason: str = ""
    step: str = ""


def workstream_outcomes(state: RunState) -> tuple[WorkstreamOutcome, ...]:
    """One outcome a workstream, in the order of the plan."""
    names = dict.fromkeys(r.task.workstream for r in state.records.values() if r.task.workstream)
    before, found = landed_before(state), []
    for name in names:
        one = _workstream(state, name)
        if name in before and one.state != State.COMPLETED:
            again = f"it had landed in {before[name][:SHORT]}; done again: {one.reason or one.state.lower()}"
            one = msgspec.structs.replace(one, reason=again)
        found.append(one)
    return tuple(found)


def landed_before(state: RunState) -> dict[str, str]:
    """The commit in which a workstream landed in an earlier round, whatever became of the latest one."""
    return {} if state.rolled_back is not None else dict(state.pipeline.landed)


def merge_result(state: RunState) -> IntegrationComplete | ShipComplete | None:
    """What the latest round merged; if it shipped, what shipped: the target may have moved in between."""
    merge, ship = state.find("merge"), state.find("ship")
    if merge is None or merge.state != State.COMPLETED:
        return None
    return (state.pipeline.shipped if ship and ship.state == State.COMPLETED else None) or state.pipeline.integration


def _workstream(state: RunState, name: str) -> WorkstreamOutcome:
    merge, ship = state.find("merge"), state.find("ship")
    if result := merge_result(state):
        if name in result.dropped:
            return WorkstreamOutcome(id=name, state=State.FAILED, reason=result.dropped[name], step="merge")
        if name in result.merged:
            return _merged(state, name, ship)
    last = WorkstreamOutcome(id=name, state=State.PENDING)
    for record in state.current().values():
        if record.task.workstream != name or record.state == State.PENDING:
            continue
        last = WorkstreamOutcome(id=name, state=record.state, reason=record.reason, step=record.task.step)
        if record.state in {State.FAILED, State.CANCELLED, State.SKIPPED, State.RUNNING}:
            return last
    if need := waiting_for(state, "consume", name):
        return WorkstreamOutcome(id=name, state=State.PENDING, reason=sentence(need), step="consume")
    if last.state == State.COMPLETED:  # it passed its own steps, but is not in the merge result
        ended, queue = merge is not None and merge.ended, state.pipeline.merge_queue
        why = queue.excluded.get(name, "not merged") if queue else "not merged"
        return msgspec.structs.replace(last, state=State.FAILED if ended else State.RUNNING, reason=why)
    return last


def _merged(state: RunState, name: str, ship: TaskRecord | None) -> WorkstreamOutcome:
    if (undone := state.rolled_back) is not None:
        reason = f"rolled back by {undone.by} in {undone.commit[:SHORT]}"
        return WorkstreamOutcome(id=name, state=State.CANCELLED, reason=reason, step="ship")
    if need := waiting_for(state, "ship"):
        return WorkstreamOutcome(id=name, state=State.PENDING, reason=f"merged, {sentence(need)}", step="ship")
    if ship and ship.state == State.COMPLETED:
        return WorkstreamOutcome(id=name, state=State.COMPLETED, step="ship")
    if ship and ship.ended:
        return WorkstreamOutcome(id=name, state=State.FAILED, reason=f"merged, not shipped: {ship.reason}", step="ship")
    return WorkstreamOutcome(id=name, state=State.RUNNING, reason="merged, not shipped yet", step="merge")


def run_status(state: RunState) -> tuple[RunStatus, str]:
    """The status of an ended run, and the reason in one sentence. What landed before a cancel has landed."""
    status: RunStatus
    if state.kind == "graph":
        bad = [r for r in state.current().values() if r.state not in {State.COMPLETED, State.SKIPPED}]
        failed = [r for r in bad if r.state == State.FAILED]
        status, reason = ("failed", (failed or bad)[0].reason) if bad else ("succeeded", "")
    else:
        outcomes = workstream_outcomes(state)
        missing = [w for w in outcomes if w.state != State.COMPLETED]
        landed = len(outcomes) - len(missing) or len(landed_before(state))
        status = "succeeded" if outcomes and not missing else "partial" if landed else "failed"
        planning = state.find("planning")
        reason = "; ".join(f"{w.id}: {w.reason}" for w in missing)
        if not outcomes and planning:
            reason = planning.reason
    if status == "failed" and state.cancel_requested:
        return "cancelled", f"cancelled by {state.cancel_requested}"
    if status == "failed" and state.stopped_by:
        return "failed", state.records[state.stopped_by].reason
    return status, reason


def exit_code(state: RunState, status: RunStatus) -> int:
    """The exit code of an ended run. It has one of its own where all landed and each of its gates was skipped."""
    facts = [record.fact for record in state.current().values() if isinstance(record.fact, GatedFact)]
    outcomes = {gate.outcome for fact in facts for gate in fact.gates if gate.gate != REVIEW}
    unchecked = status == "succeeded" and Outcome.SKIPPED in outcomes <= {Outcome.SKIPPED, Outcome.NOT_APPLICABLE}
    return EXIT_UNCHECKED if unchecked else EXIT_CODES[status]
