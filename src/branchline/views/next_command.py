"""The command that a person will most likely want to type next."""

from branchline.core.run_state import RunState
from branchline.core.states import State


def next_commands(run_id: str, status: str, state: RunState) -> tuple[str, ...]:
    """Commands for a run of that status, the likeliest first."""
    match status:
        case "running":
            return f"branchline log -f {run_id}", f"branchline cancel {run_id}"
        case "interrupted":
            return (f"branchline resume {run_id}",)
        case "cancelled":
            return (f"branchline show {run_id}",)
        case "succeeded":
            return (f"branchline diff {run_id}",) if state.kind == "pipeline" else (f"branchline log {run_id}",)
    task = _culprit(state)
    hint = state.records[task].outputs.get("hint") if state.kind == "pipeline" else None
    return (*([str(hint)] if hint else []), f"branchline show {run_id} {task}", f"branchline retry {run_id} {task}")


def _culprit(state: RunState) -> str:
    """The task to look at first: one that failed, else one that was cancelled, else the merge that left work out."""
    current = state.current().values()
    for wanted in (State.FAILED, State.CANCELLED):
        for record in current:
            if record.state == wanted:
                return record.task.id
    merge = state.find("merge")
    return merge.task.id if merge else next(iter(state.latest.values()))
