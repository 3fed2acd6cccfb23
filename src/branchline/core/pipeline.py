"""The thirteen steps as data; a plan becomes the graph of their tasks."""

from dataclasses import dataclass
from math import inf
from typing import Literal

import msgspec
from msgspec.structs import replace

from branchline.core.events import TasksAdded
from branchline.core.facts import MergeConflict
from branchline.core.graph import Condition, Task, Trigger, sort_ids
from branchline.core.model.plan import Plan
from branchline.core.rounds import new_round
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.states import State


@dataclass(frozen=True, slots=True)
class Step:
    """One of the thirteen. `task` is its word in task ids; a `fans_out` step has one task a workstream."""

    number: int
    name: str
    task: str
    checkpoint: str | None = None
    fans_out: bool = False
    on_failure: Literal["continue", "stop"] = "continue"


STEPS = (
    Step(0, "preflight", "preflight", checkpoint="preflight", on_failure="stop"),
    Step(1, "run_init", "run_init", checkpoint="run-init", on_failure="stop"),
    Step(2, "planning", "planning", checkpoint="plan-complete", on_failure="stop"),
    Step(3, "worktrees", "worktree", fans_out=True),
    Step(4, "execute", "execute", fans_out=True),
    Step(5, "code_gate", "gate", fans_out=True),
    Step(6, "consume", "consume", checkpoint="codegate", fans_out=True),
    Step(7, "validate", "validate", checkpoint="validate-pass", fans_out=True),
    Step(8, "merge_prep", "merge_prep"),
    Step(9, "merge", "merge", checkpoint="integration-complete"),
    Step(10, "pr_ci", "pr_ci"),
    Step(11, "ship", "ship", checkpoint="ship-complete"),
    Step(12, "archive", "archive"),
)

CHAIN = tuple(step.name for step in STEPS if step.fans_out)
OUTWARD = frozenset({"ship"})  # steps whose effect others see: whether a lost attempt had it is looked up, not assumed
TRIGGERS: dict[str, Trigger] = {"merge_prep": "ended", "archive": "always"}


def merge_order(plan: Plan) -> tuple[str, ...]:
    """The order in which workstreams merge, from the plan alone: topological, then priority, then id."""
    return sort_ids({w.id: w.depends_on for w in plan.workstreams}, {w.id: w.priority for w in plan.workstreams})


def task_graph(plan: Plan) -> tuple[Task, ...]:
    """The tasks that carry a plan out: for workstreams a and b, exactly the eighteen of the contract.

    Steps 0 to 3 and 8 to 12 wait for every task of the step before; a task of steps 4 to 7 waits for its own
    workstream's; a worktree also for the validation of the workstreams that it builds on.
    """
    cells = [(step, workstream) for step in STEPS for workstream in (plan.ids if step.fans_out else ("",))]
    ids: dict[tuple[str, str], str] = {}
    for number, (step, workstream) in enumerate(cells, start=1):
        ids[step.name, workstream] = f"task_{number:03d}_{step.task}" + (f"_{workstream}" if workstream else "")
    tasks = []
    for step, workstream in cells:
        previous = STEPS[step.number - 1] if step.number else None
        wanted: list[str] = []
        if previous is not None:
            beside = (workstream,) if step.name in CHAIN[1:] else plan.ids if previous.fans_out else ("",)
            wanted = [ids[previous.name, name] for name in beside]
        if step.name == "worktrees":
            wanted += [ids["validate", name] for name in plan.workstream(workstream).depends_on]
        condition = None
        if step.name == "merge":  # nothing eligible: end with "no merges"
            condition = Condition(task=ids["merge_prep", ""], output="eligible", not_equals=0)
        task = Task(
            id=ids[step.name, workstream],
            dependencies=tuple(wanted),
            priority=plan.workstream(workstream).priority if workstream else 0,
            checkpoint=step.checkpoint,
            when=condition,
            trigger=TRIGGERS.get(step.name, "completed"),
            on_failure=step.on_failure,
            step=step.name,
            workstream=workstream,
        )
        tasks.append(task)
    return tuple(tasks)


def planning_graph() -> tuple[Task, ...]:
    """The tasks of a run that has no plan yet: the first three steps. The rest is added when there is a plan."""
    return task_graph(Plan(version=1, workstreams=()))[:3]


def growth(state: RunState) -> TasksAdded | None:
    """What a run without all its tasks needs now: the fan-out of its new plan, or the archive of one that gets none."""
    if state.kind != "pipeline" or state.fanned_out or (planning := state.find("planning")) is None:
        return None
    archive = state.find("archive")
    unplanned = planning.ended and planning.state != State.COMPLETED
    if state.cancel_requested or state.stopped_by or unplanned:
        if archive is not None:
            return None
        task = Task(
            id=f"task_{len(planning_graph()) + 1:03d}_archive",
            dependencies=(planning.task.id,),
            trigger="always",
            step="archive",
        )
        return TasksAdded(reason="there is no plan", tasks=(task,), replaces={})
    if planning.state != State.COMPLETED or not state.plan:
        return None
    # An archive that waits already is kept, for what comes before it now.
    first = planning.task.origin or planning.task.id
    tasks = tuple(
        replace(t, dependencies=tuple(planning.task.id if d == first else d for d in t.dependencies))
        for t in task_graph(msgspec.convert(state.plan, Plan))[3:]
    )
    waits = archive is not None and archive.state == State.PENDING
    rewired = {archive.task.id: tasks[-1].dependencies} if archive is not None and waits else {}
    return TasksAdded(reason="the plan", tasks=tasks[:-1] if waits else tasks, replaces={}, rewired=rewired)


def repair_round(state: RunState, record: TaskRecord, now: int) -> TasksAdded | None:
    """The round that a rejected batch or a conflict goes back to its agent in, while rounds, time and money last.

    A merge that was made anew to ship, and that nobody has seen yet, waits in a round of its own.
    """
    if record.error_class == "unapproved" and ("ship", "") in state.needs:
        return new_round(state, {record.task.id}, record.reason)
    if record.error_class == "rejected" and record.task.step == "code_gate":
        workstream, steps = record.task.workstream, CHAIN[1:3]
    elif record.error_class == "conflict" and isinstance(record.fact, MergeConflict):
        workstream, steps = record.fact.workstream, CHAIN[1:]
    else:
        return None
    redo = [other.task for step in steps if (other := state.find(step, workstream))]
    if not redo or no_repair(state, redo[0], now):
        return None
    names = {task.id for task in redo} | ({record.task.id} if record.task.step == "merge" else set())
    if record.task.step == "merge" and (prepared := state.find("merge_prep")):
        names.add(prepared.task.id)
    return new_round(state, names, f"repair of {workstream}: {record.reason}", repair=True)


def no_repair(state: RunState, execute: Task, now: int) -> str:
    """Why a workstream gets no further repair round; empty if it does."""
    policy, workstream = state.policy, execute.workstream
    if execute.round > policy.repair_rounds:
        return f"repair.rounds ({policy.repair_rounds}) are used up"
    since = state.rejected_at.get(workstream)
    if policy.repair_ms is not None and since is not None and now - since >= policy.repair_ms:
        return f"repair.time ({policy.repair_ms / 1000:g} s) is over"
    spent = state.spending.repairs.get(workstream, 0.0)
    if policy.repair_usd is not None and spent >= policy.repair_usd:
        return f"repair.usd (${policy.repair_usd:,.2f}) is spent" if spent < inf else "what its repairs cost is unknown"
    return ""
