"""The ledger for people: one line a record, and which of them are worth a line to somebody who watches a run."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.approvals import sentence
from branchline.core.model.agent import AgentStatus, Usage
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.format.text import clock, count, dollars, duration, plain
from branchline.views.record import Timed

SHORT = 12
QUIET_FACTS = (
    e.RunStarted,
    e.RunResumed,
    e.RunEnded,
    e.GaveUp,
    e.AttemptInterrupted,
    f.Preflight,
    f.RunPrepared,
    f.PlanComplete,
    f.WorktreesReady,
    f.MergeConflict,
    f.Archived,
)
QUIET_STATES = frozenset({State.COMPLETED, State.RUNNING, State.CANCELLED})
T = TypeVar("T", bound=Timed)


def line(record: Timed) -> str:
    """Time of day in UTC, then what happened; always one line."""
    return f"{clock(record.at)} {plain(_sentence(record.event, record.at))}"


def news(state: RunState, records: Sequence[T]) -> Iterator[T]:
    """The records of a batch that are worth a line.

    Facts, failures, retries; the start of an agent; of a plain graph's tasks every move. A rejected batch is told once,
    and so is the end of an agent: with what it changed.
    """
    judged = {r.event.task_id for r in records if isinstance(r.event, f.Codegate)}
    ended = {(r.event.task_id, r.event.agent) for r in records if isinstance(r.event, f.ExecuteWsComplete)}
    for record in records:
        event = record.event
        if isinstance(event, f.WorktreeSaved):
            worth = bool(event.left_out or event.kept)
        elif isinstance(event, f.AgentCalled):
            worth = (event.task_id, event.agent) not in ended
        elif not isinstance(event, e.Transition):
            worth = not isinstance(event, QUIET_FACTS)
        elif state.kind == "graph":
            worth = True
        else:
            begins = event.new_state == State.RUNNING and state.records[event.task_id].task.step == "execute"
            worth = begins or (event.new_state not in QUIET_STATES and event.task_id not in judged)
        if worth:
            yield record


def warnings(records: Sequence[Timed]) -> list[str]:
    """What preflight warns of, when it has just ended."""
    checked = [record.event for record in records if isinstance(record.event, f.Preflight)]
    return [f"warning: {text}" for one in checked for text in one.warnings]


def is_bad(event: e.AnyEvent) -> bool:
    """Whether an event is something that one would rather not have happened."""
    match event:
        case e.Transition(new_state=State.FAILED) | f.ValidateWsFail():
            return True
        case f.Codegate(verdict=verdict):
            return verdict != "approved"
    return False


def _sentence(event: e.AnyEvent, at: int) -> str:  # noqa: PLR0911, PLR0912 - one sentence an event
    match event:
        case e.Transition(new_state=State.RUNNING):
            return f"{event.task_id} {event.old_state} -> {event.new_state} (attempt {event.attempt})"
        case e.Transition():
            again = "" if event.retry_at is None else f", retry in {duration(event.retry_at - at)}"
            return _with_reason(f"{event.task_id} {event.old_state} -> {event.new_state}{again}", event.reason)
        case e.RunStarted():
            tasks = count(len(event.tasks), "task")
            return f"run started: {event.kind} of {tasks}, at most {event.policy.max_parallel} at once"
        case e.RunResumed():
            return _with_reason(f"run taken over by {event.by}", event.reason)
        case e.RunEnded():
            return _with_reason(f"run ended: {event.status} (exit code {event.exit_code})", event.reason)
        case e.GaveUp():
            return _with_reason(f"{event.task_id} gets no further attempt", event.reason)
        case e.TasksAdded():
            what = "new round" if event.replaces else "new tasks"
            return f"{what} ({event.reason}): {', '.join(task.id for task in event.tasks)}"
        case e.AttemptInterrupted():
            return f"{event.task_id} attempt {event.attempt} was interrupted"
        case e.AttemptResumed():
            return f"{event.task_id} attempt {event.attempt} is taken up again"
        case e.IntentReceived():
            wanted = f"{event.by} asked to {event.kind} {event.task_id or 'the run'}"
            return f"{wanted}; refused: {event.refused}" if event.refused else wanted
        case e.ApprovalDecided():
            return _with_reason(f"{event.by} {event.verdict} {event.task_id}, tree {event.tree[:SHORT]}", event.reason)
        case e.Healed():
            return f"{event.by} healed {'; '.join(event.done)}"
        case e.SavedReleased():
            return f"{event.by} let saved work go: {', '.join(event.refs)}"
        case e.RolledBack():
            undone = f"{event.by} rolled {event.reverts[:SHORT]} back: {event.target} is at {event.commit[:SHORT]}"
            return _with_reason(undone, event.reason)
    return f"{event.task_id} {_fact(event)}"


def _fact(event: f.Fact) -> str:  # noqa: PLR0911, PLR0912 - one sentence an event
    match event:
        case f.AgentCalled():
            return _called(event)
        case f.Preflight():
            return "; ".join(["preflight passed", *(f"warning: {text}" for text in event.warnings)])
        case f.RunPrepared():
            return f"request stored in {event.prompt}"
        case f.PlanProposed():
            names = ", ".join(str(workstream.get("id")) for workstream in event.plan.get("workstreams", ()))
            told = [f"{one.a} and {one.b} may collide ({one.risk:.0%})" for one in event.collisions]
            return "; ".join([f"plan proposed: {names}", *told, *(f"warning: {text}" for text in event.warnings)])
        case f.PlanComplete():
            return f"plan accepted{f' by {event.by}' if event.by else ''}: {', '.join(event.workstreams)}"
        case f.WorktreesReady():
            return f"worktree of {event.workstream} ready at {event.path}, branch {event.branch}"
        case f.ExecuteWsComplete():
            changed = count(len(event.files), "file")
            return f"{event.agent} ended {event.status}, {changed} changed{_given(event)}{_usage(event.usage)}"
        case f.Codegate():
            return _with_reason(f"batch of {event.workstream} {event.verdict}: {event.batch}", event.reason)
        case f.ApprovalNeeded():
            whose = f"batch of {event.workstream}" if event.workstream else event.step
            return f"{whose} {sentence(event)}"
        case f.WorktreeSaved(ref=""):
            return f"worktree of {event.workstream} could not be saved, and stays: {event.kept}"
        case f.WorktreeSaved():
            text = f"worktree of {event.workstream} saved as {event.ref}"
            if event.left_out:
                text += f", but {count(len(event.left_out), 'file')} kept as it is: {'; '.join(event.left_out[:3])}"
            return text + (", and removed" if event.removed else f"; it stays: {event.kept}" if event.kept else "")
        case f.WsCheckpoint():
            return f"batch of {event.workstream} committed as {event.commit[:SHORT]}"
        case f.ValidateWsPass():
            return f"{event.workstream} validated at {event.commit[:SHORT]}"
        case f.ValidateWsFail():
            return _with_reason(f"{event.workstream} did not validate at {event.commit[:SHORT]}", event.reason)
        case f.MergeQueue():
            text = f"will merge {', '.join(event.order) or 'nothing'}"
            expected = f"; {count(len(event.conflicts), 'conflict')} expected" if event.conflicts else ""
            return text + expected + _left_out(event.excluded)
        case f.MergeConflict():
            return f"{event.workstream} goes back to its agent: {event.reason}"
        case f.IntegrationComplete():
            text = f"merged {', '.join(event.merged) or 'nothing'} into {event.branch} as {event.commit[:SHORT]}"
            return text + _left_out(event.dropped) + _warned(event)
        case f.PrOpened():
            return f"request opened with {event.forge}: {event.location}"
        case f.CiStatus():
            return f"CI says {event.verdict} of {event.commit[:SHORT]}"
        case f.Archived():
            return f"archived: {event.archive}"
    tag = f", tag {event.tag}" if event.tag else ""
    if not event.target:
        return f"left {event.commit[:SHORT]} on its integration branch{tag}"
    return f"shipped {event.commit[:SHORT]} to {event.target}{tag}" + _warned(event)


def _warned(event: f.IntegrationComplete | f.ShipComplete) -> str:
    return "".join(f"; warning: {text}" for text in event.warnings)


def _left_out(reasons: dict[str, str]) -> str:
    return "".join(f"; without {name}: {reason}" for name, reason in reasons.items())


def _called(event: f.AgentCalled) -> str:
    model = f" ({event.model})" if event.model else ""
    end = event.status + (f", {event.error_class}" if event.error_class else "")
    text = f"{event.agent}{model} as {event.role}: {end} after {duration(event.milliseconds)}"
    text += _given(event) + _usage(event.usage)
    if event.usage.cost_usd is None:
        text += ", cost unknown"
    return text if event.status == AgentStatus.OK else _with_reason(text, event.message)


def _given(event: f.AgentCalled | f.ExecuteWsComplete) -> str:
    """What it was given to read: `, given 31 files of 41,200 tokens`."""
    files = count(event.context_files, "file")
    return f", given {files} of {event.context_tokens:,} tokens" if event.context_files else ""


def _usage(told: Usage) -> str:
    """What is known: `, 12,345 tokens in (10,000 cached), 67 out, $0.02 (agent)`."""
    cached = f" ({told.cached_tokens:,} cached)" if told.cached_tokens else ""
    source = "" if told.cost_source == "unknown" else f" ({told.cost_source})"
    parts = [
        "" if told.input_tokens is None else f"{told.input_tokens:,} tokens in{cached}",
        "" if told.output_tokens is None else f"{told.output_tokens:,} out",
        "" if told.cost_usd is None else dollars(told.cost_usd) + source,
    ]
    return "".join(f", {part}" for part in parts if part)


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text
