"""The command that a person will most likely want to type next."""

from branchline.core.refs import Refs
from branchline.core.run_state import RunState
from branchline.core.states import State


def next_commands(run_id: str, status: str, state: RunState) -> tuple[str, ...]:
    """Commands for a run of that status, the likeliest first."""
    plain = {
        "running": (f"branchline log -f {run_id}", f"branchline cancel {run_id}"),
        "waiting": _to_decide(run_id, state),
        "rolled_back": (f"branchline show {run_id}",),
        "interrupted": (f"branchline resume {run_id}",),
        "cancelled": (f"branchline show {run_id}",),
        "succeeded": (f"branchline {'diff' if state.kind == 'pipeline' else 'log'} {run_id}",),
    }
    if status in plain:
        return plain[status]
    # A workstream that was left out of the merge, if that is all that went wrong: merging again would not help.
    merged = state.pipeline.integration
    failed = any(record.state == State.FAILED for record in state.current().values())
    if merged and merged.dropped and not failed:
        dropped = next(iter(merged.dropped))
        return f"branchline diff {run_id} {dropped}", f"git merge {Refs(run_id).feature(dropped)}"
    if any(record.error_class == "budget" for record in state.current().values()):
        return f"branchline resume {run_id} --budget USD", f"branchline costs {run_id}"
    task = _culprit(state)
    told, again = state.records[task].hint.splitlines(), f"branchline retry {run_id} {task}"
    more = () if any(command.startswith(again) for command in told) else (again,)
    return (*told, f"branchline show {run_id} {task}", *more)


def _to_decide(run_id: str, state: RunState) -> tuple[str, ...]:
    """What to look at, and how to say yes or no; a plan is shown with its recap."""
    if state.plan_waits or not state.waiting:
        return f"branchline approve {run_id}", f"branchline cancel {run_id}"
    found = []
    for name, need in state.waiting.items():
        found += [f"branchline diff {run_id} {need.workstream}".rstrip()]
        found += [f"branchline approve {run_id} {name}", f"branchline reject {run_id} {name}"]
    return tuple(found)


def _culprit(state: RunState) -> str:
    """The task to look at first: one that failed, else one that was cancelled."""
    current = state.current().values()
    for wanted in (State.FAILED, State.CANCELLED):
        for record in current:
            if record.state == wanted:
                return record.task.id
    return next(iter(state.latest.values()))
