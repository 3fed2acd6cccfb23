"""The trace of a run: spans of the run, its steps, tasks, attempts and transitions, made from its ledger at any time.

    run > step > task > attempt > transition     (a plain graph has no steps; PENDING -> SKIPPED belongs to the task)

Ids come from names, so every reader of a ledger makes the same spans. Of a longer ledger come the same spans and more:
ids, parents, names and starts never change, an attempt, a task or a transition that has ended never changes. The end
of a step is known when the run ends, because until then a new round may go on with it; a run that is resumed goes on.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Literal

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.graph import Task
from branchline.core.ids import is_ulid, ulid_hex
from branchline.core.states import TERMINAL, State
from branchline.views.format.text import encodable
from branchline.views.record import Timed

Value = str | int | float | bool
StatusCode = Literal["ok", "error", "unset"]

CODES: dict[State, StatusCode] = {State.COMPLETED: "ok", State.FAILED: "error"}
RUN_CODES: dict[str, StatusCode] = {"succeeded": "ok", "cancelled": "unset"}
SUPERSEDED = "branchline.superseded_by"
MILLION = 1_000_000
TOLD: dict[type, dict[str, str]] = {
    e.RunResumed: {"branchline.by": "by"},
    e.TasksAdded: {"branchline.reason": "reason"},
    e.IntentReceived: {"branchline.intent": "kind", "branchline.by": "by", "task.id": "task_id"},
    e.Healed: {"branchline.by": "by", "branchline.healed": "done"},
    e.SavedReleased: {"branchline.by": "by", "branchline.released": "refs"},
    e.MarkMissed: {"branchline.reason": "reason"},
    e.RolledBack: {"branchline.by": "by", "branchline.commit": "commit"},
    f.AgentCalled: {  # OpenTelemetry's conventions for generative models name what they can
        "task.id": "task_id",
        "gen_ai.agent.name": "agent",
        "gen_ai.response.model": "model",
        "gen_ai.usage.input_tokens": "usage.input_tokens",
        "gen_ai.usage.output_tokens": "usage.output_tokens",
        "error.type": "error_class",
        "branchline.role": "role",
        "branchline.status": "status",
        "branchline.cost_usd": "usage.cost_usd",
        "branchline.milliseconds": "milliseconds",
    },
    f.PlanProposed: {"task.id": "task_id", "branchline.plan": "digest"},
    f.PlanComplete: {"task.id": "task_id", "branchline.plan": "digest", "branchline.by": "by"},
}
"""What the event of a span says of what happened, by the attribute's name: the member of the fact; else only its task."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened within a span, at `at_ns` (Unix nanoseconds)."""

    name: str
    at_ns: int
    attributes: Mapping[str, Value]


@dataclass(slots=True, kw_only=True)
class Span:
    """A span as OpenTelemetry knows it. Ids in hexadecimal, times in Unix nanoseconds; `end_ns` is None while open."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    attributes: dict[str, Value]
    end_ns: int | None = None
    status: StatusCode = "unset"
    message: str = ""
    events: list[SpanEvent] = field(default_factory=list)

    def close(self, at_ns: int, status: StatusCode, message: str = "") -> None:
        """End it so; only an error has a message."""
        self.end_ns, self.status, self.message = at_ns, status, encodable(message) if status == "error" else ""


def trace_id(run_id: str) -> str:
    """The trace id of a run: the 16 bytes of its ULID, or of a hash where somebody else named the run."""
    return ulid_hex(run_id) if is_ulid(run_id) else hashlib.sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, kind: str, name: str) -> str:
    """The id of a span of a run, from its kind and its name within the run."""
    return hashlib.sha256(f"{run_id}/{kind}/{name}".encode()).hexdigest()[:16]


def spans(run_id: str, records: Iterable[Timed]) -> tuple[Span, ...]:
    """The spans of a ledger, parents before their children."""
    tracer = _Tracer(run_id)
    for record in records:
        tracer.take(record)
    return tuple(tracer.spans.values())


def finished(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same spans, the open ones ended at the last moment that any of them knows and marked as unfinished."""
    moments = [
        at for span in spans for at in (span.start_ns, span.end_ns or 0, *(event.at_ns for event in span.events))
    ]
    last = max(moments, default=0)
    return tuple(
        span
        if span.end_ns is not None
        else replace(span, end_ns=last, attributes={**span.attributes, "branchline.unfinished": True})
        for span in spans
    )


def _attributes(told: Mapping[str, Value | None]) -> dict[str, Value]:
    """What is known, in a form that every encoder takes."""
    return {k: encodable(v) if isinstance(v, str) else v for k, v in told.items() if v is not None and v != ""}


Key = tuple[str, str]
RUN: Key = ("run", "")


class _Tracer:
    """The fold: the spans by kind and name, in the order in which they begin. One that is open may still change."""

    def __init__(self, run_id: str) -> None:
        self.run_id, self.trace_id = run_id, trace_id(run_id)
        self.at_ns = 0
        self.spans: dict[Key, Span] = {}
        self.tasks: dict[str, Task] = {}
        self.attempt: dict[str, Key] = {}

    def take(self, record: Timed) -> None:
        # A clock may be set back; a child must not begin before its parent.
        self.at_ns = max(self.at_ns, record.at * MILLION)
        match record.event:
            case e.RunStarted() as event:
                self.begin(RUN, None, "run", {"branchline.graph": event.kind})
                self.tasks.update((task.id, task) for task in event.tasks)
            case e.Transition() as event:
                self.move(event, record.seq)
            case e.GaveUp() as event:
                self.end_task(event.task_id, "error", event.reason)
            case e.TasksAdded() as event:
                self.add(event)
            case e.RunResumed() as event:
                for (kind, _), span in self.spans.items():
                    if kind in {"run", "step"}:
                        span.end_ns, span.status, span.message = None, "unset", ""
                self.note(RUN, event)
            case e.RunEnded() as event:
                self.end_run(event)
            case (e.IntentReceived() | e.Healed() | e.SavedReleased() | e.MarkMissed() | e.RolledBack()) as event:
                self.note(RUN, event)
            case event:
                # The attempt under way, else the task, else the run: what has ended stays as it is.
                keys = [self.attempt.get(event.task_id), ("task", event.task_id)]
                spans = {key: self.spans[key] for key in keys if key in self.spans}
                self.note(next((key for key, span in spans.items() if span.end_ns is None), RUN), event)

    def begin(self, key: Key, parent: Key | None, name: str, attributes: Mapping[str, Value]) -> Span:
        self.spans[key] = Span(
            trace_id=self.trace_id,
            span_id=span_id(self.run_id, *key),
            parent_id=span_id(self.run_id, *parent) if parent else None,
            name=name,
            start_ns=self.at_ns,
            attributes=_attributes({"trace.id": self.run_id, "branchline.kind": key[0], **attributes}),
        )
        return self.spans[key]

    def note(self, key: Key, event: e.AnyEvent) -> None:
        fields = TOLD.get(type(event), {"task.id": "task_id"})
        told = {key: attrgetter(name)(event) for key, name in fields.items()}
        told = {key: len(value) if isinstance(value, tuple) else value for key, value in told.items()}
        told |= {"gen_ai.operation.name": "invoke_agent"} if isinstance(event, f.AgentCalled) else {}
        self.spans[key].events.append(SpanEvent(str(event.__struct_config__.tag), self.at_ns, _attributes(told)))

    def task(self, task_id: str) -> Key:
        """The task's span, begun with its step's where need be."""
        key = ("task", task_id)
        if key in self.spans:
            return key
        task = self.tasks[task_id]
        parent = RUN
        if task.step:
            parent = ("step", task.step)
            if parent not in self.spans:
                self.begin(parent, RUN, task.step, {"branchline.step": task.step})
        self.begin(key, parent, task_id, self.about(task))
        return key

    def about(self, task: Task) -> dict[str, Value]:
        told = {"task.id": task.id, "branchline.step": task.step, "branchline.workstream": task.workstream}
        return {**told, "branchline.round": task.round}

    def move(self, event: e.Transition, seq: int) -> None:
        parent = self.task(event.task_id)
        numbered: dict[str, Value] = {**self.about(self.tasks[event.task_id]), "branchline.attempt": event.attempt}
        if event.new_state == State.RUNNING:
            key = ("attempt", f"{event.task_id}/{event.attempt}")
            self.attempt[event.task_id] = key
            self.begin(key, parent, f"{event.task_id} attempt {event.attempt}", numbered)
        if State.RUNNING in {event.old_state, event.new_state}:
            parent = self.attempt[event.task_id]
        told = {"transition.from": str(event.old_state), "transition.to": str(event.new_state), **numbered}
        told["branchline.reason"] = event.reason
        point = self.begin(("transition", str(seq)), parent, f"{event.old_state} -> {event.new_state}", told)
        code = CODES.get(event.new_state, "unset")
        point.close(self.at_ns, code, event.reason)
        if event.old_state == State.RUNNING:
            self.spans[parent].close(self.at_ns, code, event.reason)
        if event.new_state in TERMINAL:
            self.end_task(event.task_id, code, event.reason)

    def end_task(self, task_id: str, status: StatusCode, reason: str) -> None:
        self.spans[self.task(task_id)].close(self.at_ns, status, reason)

    def add(self, event: e.TasksAdded) -> None:
        self.tasks.update((task.id, task) for task in event.tasks)
        self.note(RUN, event)
        for new, old in event.replaces.items():
            span = self.spans.get(("task", old))
            if span and span.end_ns is None:  # it failed, and its failure leads to the new round
                span.attributes[SUPERSEDED] = new
                span.close(self.at_ns, "error", event.reason)

    def end_run(self, event: e.RunEnded) -> None:
        for (kind, name), span in self.spans.items():
            if kind == "step":
                # It ends with the last of its tasks, and failed if one did that no later round made good.
                own = [self.spans[key] for key in self.spans if key[0] == "task" and self.tasks[key[1]].step == name]
                bad = [task for task in own if task.status == "error" and SUPERSEDED not in task.attributes]
                last = max(self.at_ns if task.end_ns is None else task.end_ns for task in own)
                span.close(last, "error" if bad else "ok", bad[0].message if bad else "")
        run = self.spans[RUN]
        run.attributes |= {"branchline.status": event.status, "branchline.exit_code": event.exit_code}
        run.close(self.at_ns, RUN_CODES.get(event.status, "error"), event.reason)
