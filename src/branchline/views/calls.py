"""Which agents were called, what for, and what they used: a fold over a ledger."""

from collections.abc import Iterable

import msgspec

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.model.agent import Usage
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.record import Timed

NEVER_CALLED = frozenset({"AgentMissing"})  # error classes of attempts that failed before any agent had begun


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One agent, run once.

    An attempt that ended without a word on its agents is a call without `agent`, its status that of the attempt.
    `folder`: its files, in the run's folder. `manifest`: the digest of what it was given to read, with so many files and
    tokens; empty in old ledgers.
    """

    task_id: str
    attempt: int
    role: str
    status: str
    workstream: str = ""
    round: int = 1
    agent: str = ""
    model: str = ""
    milliseconds: int | None = None
    folder: str = ""
    usage: Usage = Usage()
    manifest: str = ""
    context_files: int = 0
    context_tokens: int = 0
    context_warning: str = ""


def calls(records: Iterable[Timed], state: RunState) -> tuple[Call, ...]:
    """The calls that a ledger tells of, or must have seen, in the order in which it knows of them.

    An attempt that is still running, or whose coordinator died, counts as one call of which nothing is known.
    """
    roles = {"execute": "editor"} | ({} if state.pins.get("plan") else {"planning": "planner"})
    found: list[Call] = []
    waiting: dict[str, int] = {}  # tasks with an attempt under way of which no agent has told anything yet

    def silent(task_id: str, status: str) -> Call:
        """The attempt under way as a call of which nothing is known."""
        task = state.records[task_id].task
        own = {name: getattr(task, name) for name in ("workstream", "round")} | {"role": roles[task.step]}
        return Call(task_id=task_id, attempt=waiting.pop(task_id), status=status, **own)

    for record in records:
        match record.event:
            case e.Transition(new_state=State.RUNNING) | e.AttemptResumed() as event:
                if state.records[event.task_id].task.step in roles:
                    waiting[event.task_id] = event.attempt
            case f.AgentCalled() as event:
                waiting.pop(event.task_id, None)
                found.append(msgspec.convert(event, Call, from_attributes=True))
            case f.ExecuteWsComplete() as event if event.task_id in waiting:  # ledgers from before `agent_called`
                usage = event.usage
                if usage.cost_usd is not None and usage.cost_source == "unknown":  # nobody else could tell then
                    usage = msgspec.structs.replace(usage, cost_source="agent")
                call = silent(event.task_id, event.status)
                found.append(msgspec.structs.replace(call, agent=event.agent, usage=usage))
            case e.Transition(old_state=State.RUNNING) as event if event.task_id in waiting:
                call = silent(event.task_id, event.error_class or event.new_state.lower())
                found += [call] if event.error_class not in NEVER_CALLED else []
            case e.AttemptInterrupted() as event if event.task_id in waiting:
                found.append(silent(event.task_id, "interrupted"))
            case _:
                pass
    return (*found, *(silent(name, "running") for name in list(waiting)))
