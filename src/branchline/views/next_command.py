"""The command that a person will most likely want to type next."""

from collections.abc import Sequence

from branchline.core.refs import Refs
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.waiting import decisions, waiting


def next_commands(run_id: str, status: str, state: RunState) -> tuple[str, ...]:
    """Commands for a run of that status, the likeliest first."""
    # A plan is shown with its recap; a change can be looked at.
    waits = [] if state.plan_waits else decisions(run_id, waiting(state))
    plain: dict[str, Sequence[str]] = {
        "running": (f"branchline log -f {run_id}", f"branchline cancel {run_id}"),
        "waiting": waits or (f"branchline approve {run_id}", f"branchline cancel {run_id}"),
        "rolled_back": (f"branchline show {run_id}",),
        "interrupted": (f"branchline resume {run_id}",),
        "cancelled": (f"branchline show {run_id}",),
        "succeeded": (f"branchline {'diff' if state.kind == 'pipeline' else 'log'} {run_id}",),
    }
    if status in plain:
        return tuple(plain[status])
    # A workstream that was left out of the merge, if that is all that went wrong: merging again would not help.
    merged = state.pipeline.integration
    current = state.current().values()
    failed = [record for record in current if record.state == State.FAILED]
    if merged and merged.dropped and not failed:
        dropped = next(iter(merged.dropped))
        return f"branchline diff {run_id} {dropped}", f"git merge {Refs(run_id).feature(dropped)}"
    if any(record.error_class == "budget" for record in current):
        return f"branchline resume {run_id} --budget USD", f"branchline costs {run_id}"
    # The task to look at first: one that failed, else one that was cancelled.
    culprit = next(iter([*failed, *(record for record in current if record.state == State.CANCELLED), *current]))
    task = culprit.task.id
    told, again = culprit.hint.splitlines(), f"branchline retry {run_id} {task}"
    more = () if any(command.startswith(again) for command in told) else (again,)
    return (*told, f"branchline show {run_id} {task}", *more)
