"""The ledger for people: one line a record, and which of them are worth a line to a person who watches a run."""

from collections.abc import Iterator, Sequence

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.approvals import sentence
from branchline.core.model.agent import AgentStatus
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.format.text import clock, count, dollars, duration, plain, short
from branchline.views.record import Timed

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
SENTENCES: dict[type, str] = {
    e.RunResumed: "run taken over by {0.by}",
    e.RunEnded: "run ended: {0.status} (exit code {0.exit_code})",
    e.GaveUp: "{0.task_id} gets no further attempt",
    e.AttemptInterrupted: "{0.task_id} attempt {0.attempt} was interrupted",
    e.AttemptResumed: "{0.task_id} attempt {0.attempt} is taken up again",
    e.ApprovalDecided: "{0.by} {0.verdict} {0.task_id}, tree {0.tree:.12}",
    e.RolledBack: "{0.by} rolled {0.reverts:.12} back: {0.target} is at {0.commit:.12}",
    f.Preflight: "preflight passed",
    f.RunPrepared: "request stored in {0.prompt}",
    f.WorktreesReady: "worktree of {0.workstream} ready at {0.path}, branch {0.branch}",
    f.Codegate: "batch of {0.workstream} {0.verdict}: {0.batch}",
    f.WsCheckpoint: "batch of {0.workstream} committed as {0.commit:.12}",
    f.ValidateWsPass: "{0.workstream} validated at {0.commit:.12}",
    f.ValidateWsFail: "{0.workstream} did not validate at {0.commit:.12}",
    f.MergeConflict: "{0.workstream} goes back to its agent",
    f.PrOpened: "request opened with {0.forge}: {0.location}",
    f.CiStatus: "CI says {0.verdict} of {0.commit:.12}",
    f.Archived: "archived: {0.archive}",
}
"""What is said of an event where that is always the same; a reason, warnings and what was left out come after it."""
QUIET_STATES = frozenset({State.COMPLETED, State.RUNNING, State.CANCELLED})


def line(record: Timed) -> str:
    """Time of day in UTC, then what happened; always one line."""
    return f"{clock(record.at)} {plain(_sentence(record.event, record.at))}"


def news(state: RunState, records: Sequence[Timed]) -> Iterator[Timed]:
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


def _sentence(event: e.AnyEvent, at: int) -> str:
    template = SENTENCES.get(type(event))
    text = _told(event, at) if template is None else template.format(event)
    if isinstance(event, f.Fact):
        text = f"{event.task_id} {text}"
    left_out: dict[str, str] = getattr(event, "excluded", {})
    if isinstance(event, f.IntegrationComplete):
        left_out = event.dropped
    text += "".join(f"; without {name}: {why}" for name, why in left_out.items())
    text += "".join(f"; warning: {warning}" for warning in getattr(event, "warnings", ()))
    reason = "" if isinstance(event, e.TasksAdded) else getattr(event, "reason", "")
    return f"{text}: {reason}" if reason else text


def _told(event: e.AnyEvent, at: int) -> str:  # noqa: PLR0911, PLR0912 - one sentence an event
    match event:
        case e.Transition():
            attempt = f" (attempt {event.attempt})" if event.new_state == State.RUNNING else ""
            again = "" if event.retry_at is None else f", retry in {duration(event.retry_at - at)}"
            return f"{event.task_id} {event.old_state} -> {event.new_state}{attempt}{again}"
        case e.RunStarted():
            tasks = count(len(event.tasks), "task")
            return f"run started: {event.kind} of {tasks}, at most {event.policy.max_parallel} at once"
        case e.TasksAdded():
            what = "new round" if event.replaces else "new tasks"
            return f"{what} ({event.reason}): {', '.join(task.id for task in event.tasks)}"
        case e.IntentReceived():
            wanted = f"{event.by} asked to {event.kind} {event.task_id or 'the run'}"
            return f"{wanted}; refused: {event.refused}" if event.refused else wanted
        case e.Healed():
            return f"{event.by} healed {'; '.join(event.done)}"
        case e.SavedReleased():
            return f"{event.by} let saved work go: {', '.join(event.refs)}"
        case e.MarkMissed():
            return "git has no mark of the ledger as it is now"
        case f.AgentCalled():
            return _called(event)
        case f.PlanProposed():
            names = ", ".join(str(workstream.get("id")) for workstream in event.plan.get("workstreams", ()))
            told = [f"{one.a} and {one.b} may collide ({one.risk:.0%})" for one in event.collisions]
            return "; ".join([f"plan proposed: {names}", *told])
        case f.PlanComplete():
            return f"plan accepted{f' by {event.by}' if event.by else ''}: {', '.join(event.workstreams)}"
        case f.ExecuteWsComplete():
            changed = count(len(event.files), "file")
            return f"{event.agent} ended {event.status}, {changed} changed{_used(event)}"
        case f.ApprovalNeeded():
            return f"{f'batch of {event.workstream}' if event.workstream else event.step} {sentence(event)}"
        case f.WorktreeSaved(ref=""):
            return f"worktree of {event.workstream} could not be saved, and stays: {event.kept}"
        case f.WorktreeSaved():
            text = f"worktree of {event.workstream} saved as {event.ref}"
            if event.left_out:
                text += f", but {count(len(event.left_out), 'file')} kept as it is: {'; '.join(event.left_out[:3])}"
            return text + (", and removed" if event.removed else f"; it stays: {event.kept}" if event.kept else "")
        case f.MergeQueue():
            expected = f"; {count(len(event.conflicts), 'conflict')} expected" if event.conflicts else ""
            return f"will merge {', '.join(event.order) or 'nothing'}{expected}"
        case f.IntegrationComplete():
            return f"merged {', '.join(event.merged) or 'nothing'} into {event.branch} as {short(event.commit)}"
    assert isinstance(event, f.ShipComplete)
    where = f"shipped {short(event.commit)} to {event.target}"
    if not event.target:
        where = f"left {short(event.commit)} on its integration branch"
    return where + (f", tag {event.tag}" if event.tag else "")


def _called(event: f.AgentCalled) -> str:
    model = f" ({event.model})" if event.model else ""
    end = event.status + (f", {event.error_class}" if event.error_class else "")
    unknown = ", cost unknown" if event.usage.cost_usd is None else ""
    why = f": {event.message}" if event.message and event.status != AgentStatus.OK else ""
    after = duration(event.milliseconds)
    return f"{event.agent}{model} as {event.role}: {end} after {after}{_used(event)}{unknown}{why}"


def _used(event: f.AgentCalled | f.ExecuteWsComplete) -> str:
    """What is known: `, given 31 files of 41,200 tokens, 12,345 tokens in (10,000 cached), 67 out, $0.02 (agent)`."""
    told, files = event.usage, count(event.context_files, "file")
    cached = f" ({told.cached_tokens:,} cached)" if told.cached_tokens else ""
    source = "" if told.cost_source == "unknown" else f" ({told.cost_source})"
    parts = [
        f"given {files} of {event.context_tokens:,} tokens" if event.context_files else "",
        "" if told.input_tokens is None else f"{told.input_tokens:,} tokens in{cached}",
        "" if told.output_tokens is None else f"{told.output_tokens:,} out",
        "" if told.cost_usd is None else dollars(told.cost_usd) + source,
    ]
    return "".join(f", {part}" for part in parts if part)
