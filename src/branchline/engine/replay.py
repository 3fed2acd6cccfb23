"""Doing a run's deterministic half again, from what its agents left: gates, batches, merges, CI, in a place of its own.

Every step is given what it was given then, so the first that comes to something else is the one to look at. No agent
is called, no ref of the repository moves.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from branchline.core.events import AnyEvent, RunStarted, Transition
from branchline.core.facts import (
    CiStatus,
    Codegate,
    GatedFact,
    IntegrationComplete,
    MergeQueue,
    ValidateWsFail,
    ValidateWsPass,
    WsCheckpoint,
)
from branchline.core.model.verdict import REVIEW, Outcome
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.core.work import facts_of
from branchline.engine.driver import Doing
from branchline.engine.opening import open_run
from branchline.engine.performing import step_jobs
from branchline.errors import GitError, InvalidInput
from branchline.git.folders import delete_tree
from branchline.git.repo import Repo
from branchline.git.storage import require_whole
from branchline.git.workspace import Workspaces, borrow
from branchline.ledger.codec import Record
from branchline.ledger.paths import RunPaths
from branchline.ledger.seal import require_ours
from branchline.ledger.work import WorkArea
from branchline.process.spawn import KillSwitch
from branchline.process.temporary import temporary_folder
from branchline.views.claims import claims

GATED = frozenset({"code_gate", "validate", "pr_ci"})
AGAIN = GATED | {"consume", "merge_prep", "merge"}
OURS = frozenset(
    {"GitError", "os_error", "internal", "timeout", "cancelled", "interrupted"}
)  # says nothing of the work
VERDICTS = {Outcome.FAILED: "rejected", Outcome.ERROR: "error"}


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt came to: a verdict in words, the tree or commit, and the outcome of every gate."""

    verdict: str
    object: str = ""
    gates: dict[str, str] = {}


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt then and now; `now` is None where it was not done again. `note` says why, or what differs."""

    task_id: str
    attempt: int
    step: str
    workstream: str
    then: Came
    now: Came | None = None
    note: str = ""

    @property
    def differs(self) -> bool:
        """Whether it came to something else."""
        return self.now is not None and bool(self.note)


@dataclass(slots=True)
class _Begun:
    """An attempt under way: its work, with the facts that the ledger has of it; `line`: how long the ledger was."""

    work: Doing
    line: int
    facts: list[AnyEvent] = field(default_factory=list)


def replayed(
    paths: RunPaths, records: Sequence[Record], *, gates: bool, say: Callable[[str], None] = lambda _: None
) -> Iterator[Compared]:
    """Every attempt of a step after the agents' that ended, done again, in the order of the ledger.

    Without `gates` only batches and merges are. Raises InvalidInput when that cannot be had: objects are gone.
    """
    require_ours(paths)  # gates are commands
    first = records[0].event if records else None
    if not isinstance(first, RunStarted) or first.kind != "pipeline":
        raise InvalidInput(f"run {paths.run_id} is a plain graph: nothing of it can be done again")
    repo = Repo.open(paths.root)
    require_whole(repo, claims(paths.run_id, records).objects)
    folder = Path(tempfile.mkdtemp(prefix="branchline-replay-", dir=temporary_folder())).resolve()
    try:
        borrow(repo, folder, str(first.pins["base"]))
        yield from _Again(paths, RunPaths(folder, paths.run_id), records, gates=gates, say=say).all(repo)
    except GitError as error:
        raise InvalidInput(f"run {paths.run_id} cannot be done again: {error.message}", hint="git fsck") from error
    finally:
        delete_tree(folder)


class _Again:
    """Folds the ledger; at each attempt's end the same work is done in the borrowed repository."""

    def __init__(
        self, paths: RunPaths, here: RunPaths, records: Sequence[Record], *, gates: bool, say: Callable[[str], None]
    ) -> None:
        self._here, self._records, self._gates, self._say = here, records, gates, say
        self._lines = paths.ledger.read_bytes().splitlines(keepends=True)
        here.make(here.artifacts, here.scratch)

    def all(self, repo: Repo) -> Iterator[Compared]:
        state, begun = RunState(), dict[str, _Begun]()
        state.apply(self._records[0].event)
        run = open_run(self._here, state)
        work = WorkArea(self._here.root / "work", self._here.root / "work/run")
        workspaces = Workspaces(run.repo, work.home, base=run.base, target=run.target)
        run.repo.root = repo.root  # set-up copies files of the user's checkout
        settings = msgspec.structs.replace(run.settings, review=msgspec.structs.replace(run.settings.review, agent=""))
        jobs = step_jobs(
            replace(run, work=work, workspaces=workspaces, settings=settings, gates=run.gates if self._gates else ()),
            lambda *_: None,
        )
        for record in self._records[1:]:
            event = record.event
            state.apply(event)
            if not isinstance(event, Transition):
                task_id = getattr(event, "task_id", "")
                if task_id in begun:
                    begun[task_id].facts.append(event)
                continue
            task = state.records[event.task_id].task
            if event.new_state == State.RUNNING and task.step in AGAIN:
                begun[event.task_id] = _Begun(jobs(task, event.attempt, state).work, record.seq + 1)
            elif event.task_id in begun and event.old_state == State.RUNNING:
                yield self._compared(state, event, begun.pop(event.task_id))

    def _compared(self, state: RunState, move: Transition, begun: _Begun) -> Compared:
        task = state.records[move.task_id].task
        then = _came(begun.facts, move.error_class)
        row = Compared(task_id=task.id, attempt=move.attempt, step=task.step, workstream=task.workstream, then=then)
        if why := self._no_replay(move, task.step, begun, then):
            return msgspec.structs.replace(row, note=why)
        self._say(f"{task.id} again")
        self._here.ledger.write_bytes(b"".join(self._lines[: begun.line]))
        result = begun.work(KillSwitch())
        now = _came(facts_of(result), getattr(result, "error_class", ""))
        if now.verdict in OURS:
            raise InvalidInput(f"{task.id} cannot be done again: {getattr(result, 'reason', '')}")
        row = msgspec.structs.replace(row, then=_without_review(then), now=now)
        return msgspec.structs.replace(row, note=_difference(row.then, now))

    def _no_replay(self, move: Transition, step: str, begun: _Begun, then: Came) -> str:
        if move.new_state == State.CANCELLED or then.verdict in OURS:
            return f"it ended as {then.verdict or 'cancelled'}"
        if not self._gates and step in GATED:
            return "its gates were left out"
        dropped = [
            why for fact in begun.facts if isinstance(fact, IntegrationComplete) for why in fact.dropped.values()
        ]
        if not self._gates and any(" fails " in why for why in dropped):
            return "gates decided what was dropped, and were left out"
        return ""


def _came(facts: Sequence[AnyEvent], error_class: str) -> Came:
    """From the facts that an attempt told, or from how it ended."""
    verdict, object_ = error_class or "done", ""
    for fact in facts:
        match fact:
            case Codegate():
                verdict, object_ = fact.verdict, fact.tree
            case WsCheckpoint():
                verdict, object_ = "taken in", fact.commit
            case ValidateWsPass():
                verdict, object_ = "passed", fact.commit
            case ValidateWsFail():
                verdict, object_ = "failed", fact.commit
            case MergeQueue():
                verdict, object_ = f"queue: {', '.join(fact.order) or 'nothing'}", ""
            case IntegrationComplete():
                verdict, object_ = f"merged: {', '.join(fact.merged)}", fact.commit
            case CiStatus():
                verdict, object_ = fact.verdict, fact.commit
    gates = {one.gate: str(one.outcome) for fact in facts if isinstance(fact, GatedFact) for one in fact.gates}
    return Came(verdict=verdict, object=object_, gates=gates)


def _without_review(then: Came) -> Came:
    """What the gates alone had come to: no reviewer is asked again."""
    if REVIEW not in then.gates:
        return then
    gates = {name: outcome for name, outcome in then.gates.items() if name != REVIEW}
    worst = next((o for o in (Outcome.FAILED, Outcome.ERROR) if o in gates.values()), Outcome.PASSED)
    return msgspec.structs.replace(then, verdict=VERDICTS.get(worst, "approved"), gates=gates)


def _difference(then: Came, now: Came) -> str:
    both = [name for name in then.gates if name in now.gates]  # a step that fails hands no list of them on
    words = [f"{n}: {then.gates[n]}, now {now.gates[n]}" for n in both if then.gates[n] != now.gates[n]]
    if then.verdict != now.verdict:
        words.insert(0, f"{then.verdict}, now {now.verdict}")
    if then.object != now.object:
        words.append(f"{then.object[:12] or 'nothing'}, now {now.object[:12] or 'nothing'}")
    return "; ".join(words)
