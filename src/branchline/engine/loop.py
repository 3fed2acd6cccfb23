"""The loop: facts in, decisions made, facts made durable, effects performed. Run and resume are this one function.

Order is everything here: what `decide` wants is applied and written to the ledger before anything acts on it, and one
turn's records share one write and one sync.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from branchline.core.approvals import objection
from branchline.core.events import (
    AnyEvent,
    ApprovalDecided,
    AttemptResumed,
    IntentReceived,
    MarkMissed,
    TasksAdded,
    Transition,
)
from branchline.core.graph import Task
from branchline.core.pipeline import OUTWARD
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState
from branchline.core.scheduler import KillAttempt, decide, wake_at
from branchline.core.states import State
from branchline.core.work import Failure, Result, Success, facts_of
from branchline.engine.driver import Done, Driver, Job
from branchline.engine.inbox import Inbox
from branchline.errors import Interrupted, InvalidInput
from branchline.ledger.checkpoint import Scribe, completed_at
from branchline.ledger.codec import Record
from branchline.ledger.log import Ledger
from branchline.ledger.paths import RunPaths

INBOX_SECONDS = 0.25

Observer = Callable[[RunState, Sequence[Record]], None]


@dataclass(slots=True)
class Coordinator:
    """Drives one run to its end.

    `job` makes the work of a task's attempt; observers see every batch of new records; `on_checkpoint` is called when a
    task with a named checkpoint has completed, and says why it could not do its work, if it could not.
    """

    ledger: Ledger
    state: RunState
    driver: Driver
    job: Callable[[Task, int, RunState], Job]
    inbox: Inbox
    observers: tuple[Observer, ...] = ()
    on_checkpoint: Callable[[Ledger], str] | None = None
    scribe: Callable[[RunPaths], Scribe] = Scribe
    _unwritten: list[AnyEvent] = field(default_factory=list)

    def run(self) -> RunState:
        """Go on until nothing is left to do, or everything waits for a person. Raises Interrupted."""
        scribe = self.scribe(self.ledger.paths)
        try:
            finished: list[Done] = []
            while self.state.end is None:
                for done in finished:
                    self._take_in(done)
                self._take_intents()
                effects = self._settle()
                records = self._flush()
                for effect in effects:
                    if isinstance(effect, KillAttempt):
                        self.driver.kill(effect.task_id, effect.reason)
                    else:
                        task = self.state.records[effect.task_id].task
                        self.driver.start(self.job(task, effect.attempt, self.state))
                self._write_checkpoints(scribe, records)
                if self.state.awaiting and not self.state.running and not self.inbox.pending():
                    break
                finished = self._wait()
        except KeyboardInterrupt:
            run_id = self.ledger.paths.run_id
            raise Interrupted(f"run {run_id} was interrupted", hint=f"branchline resume {run_id}") from None
        finally:
            self.driver.close()
            scribe.close()
        return self.state

    def note(self, *events: AnyEvent) -> None:
        """Apply events now; they are written with the turn's others, before anything acts on them."""
        for event in events:
            self.state.apply(event)
        self._unwritten += events

    def rewind(self, completed: Sequence[str]) -> None:
        """Go back to a checkpoint: everything is done again but the tasks (first rounds' ids) completed there."""
        self._require_seen(self.state.running)
        for name in sorted(self.state.running):
            self.note(self.state.moved(name, State.FAILED, reason="the run went back to a checkpoint", retryable=False))
        if added := reopen_round(self.state, completed):
            self.note(added)

    def skip(self, task_id: str) -> None:
        """Leave a task out at a person's word, whatever became of it so far. Raises InvalidInput if it has ended."""
        if task_id not in self.state.records:
            raise InvalidInput(f"there is no task {task_id}", hint="branchline status")
        name = self.state.latest[self.state.records[task_id].task.origin or task_id]
        record = self.state.records[name]
        if record.ended:
            raise InvalidInput(f"task {name} is {record.state}: it cannot be skipped any more")
        self._require_seen([name])
        self.note(IntentReceived(kind="skip", by="user", task_id=name))
        if record.state == State.RUNNING:
            self.note(self.state.moved(name, State.FAILED, reason="to be skipped", retryable=False))
        if record.state == State.FAILED:
            self.note(self.state.moved(name, State.PENDING))
        self.note(self.state.moved(name, State.SKIPPED, reason="skipped by the user"))

    def _require_seen(self, names: Iterable[str]) -> None:
        """Raise InvalidInput for a task under way whose effect others may see already: it is looked for first."""
        for name in sorted(names):
            record = self.state.records[name]
            if record.state == State.RUNNING and record.task.step in OUTWARD:
                run_id = self.ledger.paths.run_id
                raise InvalidInput(f"task {name} had begun, and may be done", hint=f"branchline resume {run_id}")

    def _settle(self) -> list[Transition | AttemptResumed | KillAttempt]:
        """Decide until there is nothing to decide; return the effects to perform once all of it is durable."""
        effects: list[Transition | AttemptResumed | KillAttempt] = []
        while True:
            progress = False
            for wanted in decide(self.state, self.ledger.clock()):
                match wanted:
                    case KillAttempt() | AttemptResumed() | Transition(new_state=State.RUNNING):
                        effects.append(wanted)
                if not isinstance(wanted, KillAttempt):
                    self.note(wanted)
                    progress = True
            if not progress:
                return effects

    def _take_in(self, done: Done) -> None:
        record = self.state.records[done.task_id]
        if record.state != State.RUNNING or record.attempt != done.attempt:
            return  # a late answer of an attempt that is over
        result = _checked(record.task, done.result) if isinstance(done.result, Success) else done.result
        if isinstance(result, Success):
            move = self.state.moved(done.task_id, State.COMPLETED, outputs=result.outputs)
        else:
            cancelled = result.error_class == "cancelled"
            move = self.state.moved(
                done.task_id,
                State.CANCELLED if cancelled else State.FAILED,
                reason=result.reason,
                error_class=result.error_class,
                retryable=result.retryable,
                hint=result.hint,
                traceback=result.traceback,
            )
        # As the ledger gives them back: a live run knows what a resumed one will know, to the letter.
        facts = (msgspec.convert(msgspec.to_builtins(fact), type(fact)) for fact in facts_of(result))
        self.note(*facts, move)

    def _take_intents(self) -> None:
        for intent in self.inbox.take():
            if intent.kind == "cancel":
                self.note(IntentReceived(kind="cancel", by=intent.by))
                continue
            asked = IntentReceived(kind=intent.kind, by=intent.by, task_id=intent.task_id)
            answer: TasksAdded | ApprovalDecided | str
            if intent.kind == "retry":
                answer = retry_round(self.state, intent.task_id)
            else:
                answer = objection(self.state, intent.task_id, intent.tree) or ApprovalDecided(
                    task_id=intent.task_id,
                    tree=intent.tree,
                    verdict="approved" if intent.kind == "approve" else "rejected",
                    by=intent.by,
                    reason=intent.reason,
                )
            if isinstance(answer, str):
                self.note(msgspec.structs.replace(asked, refused=answer))
            elif isinstance(answer, ApprovalDecided):
                self.note(answer)
            else:
                self.note(asked, answer)

    def _flush(self) -> list[Record]:
        """Make this turn's events durable, and return their records."""
        events, self._unwritten = self._unwritten, []
        if not events:
            return []
        records = self.ledger.append(events)
        self.inbox.forget()
        for observer in self.observers:
            observer(self.state, records)
        return records

    def _write_checkpoints(self, scribe: Scribe, records: Sequence[Record]) -> None:
        """Write the pages of what has completed, and have the ledger marked at named checkpoints and at the end."""
        completed = completed_at(records)
        for name, at in completed.items():
            scribe.note(self.state, name, at)
        named = any(self.state.records[name].task.checkpoint is not None for name in completed)
        ended = bool(records) and self.state.end is not None
        missed = self.on_checkpoint(self.ledger) if (named or ended) and self.on_checkpoint is not None else ""
        if missed and not ended:
            self.note(MarkMissed(reason=missed))
        if completed and (named or ended):
            seq, last = f"{records[-1].seq}", list(completed)[-1]
            scribe.note_run(self.state, checkpoint_id=seq, last_completed=last, at=records[-1].at)

    def _wait(self) -> list[Done]:
        due = wake_at(self.state, now := self.ledger.clock())
        if self.state.end is not None or (due is None and not self.state.running):
            return []
        patience = INBOX_SECONDS if due is None else min(INBOX_SECONDS, max(0, due - now) / 1000)
        return self.driver.wait(patience)


def _checked(task: Task, result: Success) -> Result:
    """A success whose outputs are not JSON, or lack one that was promised, is none.

    Outputs pass through JSON, so that the state of a live run is the one that its ledger replays to.
    """
    try:
        result = replace(result, outputs=json.loads(json.dumps(dict(result.outputs), allow_nan=False)))
    except (TypeError, ValueError) as error:
        return Failure(f"its outputs are not JSON: {error}", error_class="invalid_output")
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    for output in task.outputs:
        if output.name not in result.outputs:
            return Failure(f"it promised the output {output.name!r} and did not give it", error_class="invalid_output")
        value = result.outputs[output.name]
        if output.type != "any" and not isinstance(value, kinds[output.type]):
            return Failure(f"its output {output.name!r} is no {output.type}: {value!r}", error_class="invalid_output")
    return result
