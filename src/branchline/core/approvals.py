"""What waits for a person, in words, and whom a name means."""

from branchline.core.facts import ApprovalNeeded
from branchline.core.run_state import RunState

SHOWN = 2


def sentence(need: ApprovalNeeded) -> str:
    """Why it waits, on one line: the first concerns, and how many more there are."""
    told = "; ".join(f"{c.path} {c.reason}" if c.path else c.reason for c in need.concerns[:SHOWN])
    left = len(need.concerns[SHOWN:]) + need.more
    return f"waits for approval: {told}" + (f"; and {left} more" if left else "")


def waiting_for(state: RunState, step: str, workstream: str = "") -> ApprovalNeeded | None:
    """What keeps the latest round of a step waiting, if only a person's word does."""
    record = state.find(step, workstream)
    return state.held(record.task.id) if record is not None and record.task.id in state.ready else None


def chosen(state: RunState, name: str | None) -> dict[str, ApprovalNeeded]:
    """The waiting tasks that a name means: a task's id, a workstream, a step; all of them without one."""
    waiting = state.waiting
    if name is None or name in waiting:
        return {one: need for one, need in waiting.items() if name in {None, one}}
    return {
        one: need
        for one, need in waiting.items()
        if name in {need.workstream, need.step, state.records[one].task.origin} - {""}
    }


def objection(state: RunState, task_id: str, tree: str) -> str:
    """Why a word on this tree of this task cannot be taken; empty if it can."""
    need = state.waiting.get(task_id)
    if need is None:
        return f"task {task_id} does not wait for anybody"
    return "" if need.tree == tree else f"task {task_id} waits with another tree, {need.tree[:12]}: look at it again"
