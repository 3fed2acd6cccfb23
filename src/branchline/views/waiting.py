"""What waits for a person: which trees, and why; and what a person will most likely want to type next."""

from collections.abc import Iterable, Sequence

import msgspec

from branchline.core.facts import Concern
from branchline.core.model.forecast import Collision
from branchline.core.refs import Refs
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.format.text import section, table

SHOWN = 12
LEAST_RISK, SHOWN_PATHS = 0.1, 3


class Waiting(msgspec.Struct, frozen=True):
    """A task that only a person's word keeps from starting, the tree that it is about, and the one to compare it with."""

    task_id: str
    workstream: str
    tree: str
    base: str
    concerns: tuple[Concern, ...]
    more: int


def waiting(state: RunState) -> tuple[Waiting, ...]:
    """All that waits, by task id."""
    fields = Waiting.__struct_fields__[1:]
    return tuple(Waiting(name, *(getattr(need, key) for key in fields)) for name, need in state.waiting.items())


def waiting_lines(found: Iterable[Waiting]) -> list[str]:
    """A table: each task with its concerns, a line each; those that are too many to read are counted."""
    rows = []
    for one in found:
        told = [f"{concern.path} {concern.reason}".lstrip() for concern in one.concerns[:SHOWN]]
        if left := len(one.concerns[SHOWN:]) + one.more:
            told.append(f"and {left} more")
        rows += [(one.task_id if number == 0 else "", text) for number, text in enumerate(told)]
    return table(rows)


def collision_lines(collisions: Iterable[Collision]) -> list[str]:
    """The collisions that are worth a thought, the likeliest first, with a few of their files."""
    rows = [
        (f"{one.a}, {one.b}", f"{one.risk:.0%}", ", ".join(one.paths[:SHOWN_PATHS]))
        for one in collisions
        if one.risk >= LEAST_RISK
    ]
    return section("Likely to change the same files", table(rows))


def decisions(run_id: str, found: Iterable[Waiting]) -> list[str]:
    """What to type, for each: to look at it, to say yes, to say no."""
    lines = []
    for one in found:
        lines += [f"branchline diff {run_id} {one.workstream}".rstrip()]
        lines += [f"branchline {verb} {run_id} {one.task_id}" for verb in ("approve", "reject")]
    return lines


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
