"""What a ledger says of git: which objects must be there, and where each ref that it names must be."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.graph import Task
from branchline.core.refs import Refs, branch_ref, tag_ref
from branchline.core.states import State
from branchline.views.record import Timed


@dataclass(frozen=True, slots=True)
class Claim:
    """Where a ref must be: at `commit`, or at any with that `tree`, or whose first `parent` is that; else anywhere.

    `seq` is the record that says so. `movers` are the steps (`execute/a`) and the tasks that may move it again.
    """

    seq: int
    commit: str = ""
    tree: str = ""
    parent: str = ""
    movers: frozenset[str] = frozenset()


@dataclass(slots=True)
class Claims:
    """`refs` by full name, `objects` with the record that names each, `held`: (branch, commit, record) of what landed."""

    ours: Refs
    refs: dict[str, Claim] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    held: list[tuple[str, str, int]] = field(default_factory=list)
    _tasks: dict[str, Task] = field(default_factory=dict)
    _attempts: dict[str, int] = field(default_factory=dict)
    _last: dict[str, str] = field(default_factory=dict)

    def take(self, record: Timed) -> None:
        """Take one record in; what an earlier one said of a ref counts until a task that may move it starts."""
        seq, event = record.seq, record.event
        for oid in _objects(event):
            self.objects.setdefault(oid, seq)
        match event:
            case e.RunStarted(tasks=tasks) | e.TasksAdded(tasks=tasks):
                self._tasks.update((task.id, task) for task in tasks)
                if isinstance(event, e.RunStarted):
                    self._last[""] = str(event.pins.get("base", ""))
            case e.Transition(new_state=State.RUNNING):
                task = self._tasks[event.task_id]
                self._attempts[task.id] = event.attempt
                moving = {task.id, f"{task.step}/{task.workstream}"}
                self.refs = {name: claim for name, claim in self.refs.items() if not moving & claim.movers}
            case e.Transition(new_state=State.COMPLETED):
                task = self._tasks[event.task_id]
                if task.step and task.checkpoint not in {None, "codegate"}:
                    # It stands on what its step made, or on the base.
                    made = self._last.get(f"{task.step}/{task.workstream}") or self._last[""]
                    name = self.ours.checkpoint(str(task.checkpoint), task.workstream)
                    self.refs[name] = Claim(seq, parent=made, movers=_movers(task.workstream, task.step))
            case e.SavedReleased(refs=refs):
                self.refs = {name: claim for name, claim in self.refs.items() if name not in refs}
            case _:
                self.refs.update(self._said(event, seq))

    def _said(self, event: e.AnyEvent, seq: int) -> Iterator[tuple[str, Claim]]:
        match event:
            case f.WorktreesReady(workstream=name, base=base):
                yield self.ours.base(name), Claim(seq, commit=base, movers=_movers(name, "worktrees"))
            case f.ExecuteWsComplete(task_id=task_id, tree=tree):
                yield self.ours.attempt(task_id, self._attempts[task_id]), Claim(seq, tree=tree)
            case f.Codegate(given=given, batch=batch, tree=tree) if given:
                yield self.ours.gate(batch), Claim(seq, tree=tree, movers=frozenset({event.task_id}))
            case f.WsCheckpoint(workstream=name, commit=commit, tree=tree):
                at = Claim(seq, commit, tree, movers=_movers(name, "worktrees", "execute", "consume"))
                yield branch_ref(self.ours.feature(name)), at
                yield self.ours.checkpoint("codegate", name), Claim(seq, commit, movers=_movers(name, "consume"))
            case f.ValidateWsPass(workstream=name, commit=commit):
                self._last[f"validate/{name}"] = commit
            case f.MergeConflict(workstream=name, tree=tree, tip=tip):
                yield self.ours.conflict(name), Claim(seq, tree=tree, parent=tip, movers=_movers("", "merge"))
            case f.IntegrationComplete(branch=branch, commit=commit):
                self._last["merge/"] = commit
                yield branch_ref(branch), Claim(seq, commit, movers=_movers("", "merge", "ship"))
            case f.ShipComplete():
                self._last["ship/"] = event.commit
                yield branch_ref(self.ours.integration), Claim(seq, event.commit, movers=_movers("", "merge", "ship"))
                if event.target:
                    self.held.append((event.target, event.commit, seq))
                if event.tag:
                    yield tag_ref(event.tag), Claim(seq, event.commit)
            case f.WorktreeSaved(ref=ref, commit=commit) if ref:
                yield ref, Claim(seq, commit)
            case e.RolledBack(target=target, commit=commit):
                self.held.append((target, commit, seq))
                yield self.ours.rollback, Claim(seq, commit)


def claims(run_id: str, records: Iterable[Timed]) -> Claims:
    """All that the records of a run, from its first on, say of git."""
    found = Claims(Refs(run_id))
    for record in records:
        found.take(record)
    return found


def _movers(workstream: str, *steps: str) -> frozenset[str]:
    return frozenset(f"{step}/{workstream}" for step in steps)


def _objects(event: e.AnyEvent) -> Iterator[str]:
    match event:
        case e.RunStarted(pins=pins) if "base" in pins:
            yield str(pins["base"])
        case f.WorktreesReady(base=oid) | f.ExecuteWsComplete(tree=oid) | f.Codegate(tree=oid):
            yield oid
        case f.ApprovalNeeded(tree=oid) | f.ValidateWsFail(commit=oid) | f.CiStatus(commit=oid):
            yield oid
        case f.WsCheckpoint(commit=oid) | f.ValidateWsPass(commit=oid) | f.IntegrationComplete(commit=oid):
            yield oid
        case f.ShipComplete(commit=oid) | e.RolledBack(commit=oid):
            yield oid
