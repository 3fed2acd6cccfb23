"""The files of a run's folder against its ledger: what has a digest is compared, what can be made again is made again."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from branchline.attempt.asking.context import FOLDER
from branchline.config.canonical import canonical
from branchline.core.events import Transition
from branchline.core.facts import AgentCalled, Archived, PlanComplete, PlanProposed, RunPrepared
from branchline.core.model.plan import Plan
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.git.folders import files_below
from branchline.ledger.checkpoint import completed_at, page_due, run_page_at, task_page
from branchline.ledger.codec import Record
from branchline.ledger.paths import RunPaths
from branchline.process.output import content_of, digest_of

NAMED = 4  # files of one folder that are named one by one
OTHERS = ("owner.json", "run.lock")
OURS = {"logs/run.jsonl", "logs/run.head"}  # the ledger itself, which was read before


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the ledger says. Not `serious`: what is its user's to change, or may be written again."""

    text: str
    serious: bool = True


@dataclass(slots=True)
class Files:
    """What was found: `differences`, and `uncovered`, the files about which the ledger says nothing."""

    paths: RunPaths
    records: Sequence[Record]
    state: RunState
    differences: list[Difference] = field(default_factory=list)
    covered: set[str] = field(default_factory=lambda: set(OURS))
    archive: dict[str, Any] = field(default_factory=dict)

    def look(self) -> "Files":
        """Compare everything."""
        self._evidence()
        self._archived()
        self._pages()
        self._run_page()
        self._stored()
        self._manifests()
        return self

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The files that nothing was compared with; of a folder with many of them only the folder, with their number."""
        left = [name for name in dict.fromkeys([*OTHERS, *self._present()]) if name not in self.covered]
        tops = Counter(name.partition("/")[0] for name in left)
        short = (
            name if tops[top := name.partition("/")[0]] <= NAMED else f"{top}/ ({tops[top]} files)" for name in left
        )
        return tuple(dict.fromkeys(short))

    def _present(self) -> list[str]:
        return sorted(files_below(self.paths.run_dir))

    def _wrong(self, name: str, what: str, *, serious: bool = True) -> None:
        self.covered.add(name)
        self.differences.append(Difference(text=f"{name} {what}", serious=serious))

    def _same(self, name: str, found: object, wanted: object, what: str) -> None:
        """Compare what a file holds, or its digest; None: it is missing."""
        self.covered.add(name)
        if found != wanted:
            self._wrong(name, "is missing" if found is None else what)

    def _evidence(self) -> None:
        """What an attempt was given, and what its agent printed."""
        for event in (one.event for one in self.records):
            if isinstance(event, AgentCalled):
                changed = changed_evidence(self.paths.run_dir / event.folder, event.evidence)
                self.covered.update(f"{event.folder}/{name}" for name in event.evidence)
                for name in changed:
                    self._wrong(f"{event.folder}/{name}", "was changed after the attempt")

    def _archived(self) -> None:
        """All that lay in the folder when the run was archived, unless it has gone on since."""
        fact = next((one.event for one in reversed(self.records) if isinstance(one.event, Archived)), None)
        if not isinstance(fact, Archived) or not fact.archive:
            return
        after = next(one.seq for one in reversed(self.records) if one.event is fact)
        running = (one for one in self.records if one.seq > after and isinstance(one.event, Transition))
        if any(isinstance(one.event, Transition) and one.event.new_state == State.RUNNING for one in running):
            return
        data = content_of(self.paths.run_dir / fact.archive)
        try:
            archive = json.loads(data or b"")
            files = dict(archive["files"])
        except (ValueError, TypeError, KeyError):
            archive, files = {}, {}
        if not files or (fact.digest and hashlib.sha256(data or b"").hexdigest() != fact.digest):
            self._wrong(
                fact.archive, "is missing" if data is None else "was changed: the ledger has another digest of it"
            )
            return
        if fact.digest:
            self.covered.add(fact.archive)
            self.archive = archive
        for name, digest in files.items():
            if name == fact.archive or name.partition("/")[0] in {"checkpoints", "checkpoint.json"}:
                continue  # of an older version
            if name in self.covered:
                continue
            self._same(name, digest_of(self.paths.run_dir / name), digest, "was changed since the run was archived")

    def _pages(self) -> None:
        """Checkpoint files of completed tasks; in a run that can go on, the next resume writes those that are missing."""
        at, ended = completed_at(self.records), self.state.end is not None
        for name, record in self.state.records.items():
            if record.state != State.COMPLETED:
                continue
            place = f"checkpoints/{name}.json"
            data = content_of(self.paths.run_dir / place)
            if not data:
                mended = f"is missing: branchline resume {self.paths.run_id} writes it"
                self._wrong(place, mended, serious=ended)
            elif data != task_page(self.paths, self.state, name, at[name]):
                try:
                    page = json.loads(data)
                    # What a run of version 1 has handed on is there twice: as its ledger has it, and as we read it.
                    same = page["outputs"] in (record.handed_on(), record.outputs)
                    same = same and (page["state"], page["attempt"]) == (record.state, record.attempt)
                except (ValueError, KeyError, TypeError) as error:
                    self._wrong(place, f"cannot be read: {error}", serious=ended)
                else:
                    self._other(place, "is not what the ledger says of the task", same=same)
            self.covered.add(place)
        for name in self._present():
            if name.startswith("checkpoints/") and name not in self.covered:
                self._wrong(
                    name, "is there, and no record has completed that task: the ledger was cut off, or it is not ours"
                )

    def _other(self, name: str, what: str, *, same: bool) -> None:
        """A page that we would not write; an older version wrote other times into it."""
        self._wrong(
            name, f"{what}; only its form or its time" if same else what, serious=not same or bool(self.archive)
        )

    def _run_page(self) -> None:
        """`checkpoint.json`, which is made at named checkpoints and at the end."""
        name, known, due = "checkpoint.json", {one.seq: one for one in self.records}, page_due(self.records, self.state)
        data = content_of(self.paths.checkpoint)
        if data is None:
            if due is not None:
                self._wrong(name, "is missing", serious=bool(self.archive))
            return
        try:
            page = json.loads(data)
            number = int(page["checkpoint_id"])
            made = run_page_at(self.paths, self.records, known[number].seq)
        except (ValueError, KeyError, TypeError) as error:
            self._wrong(name, f"is not what the ledger says of the run: {error}")
            return
        self.covered.add(name)
        if data != made:
            same = {**page, "timestamp": ""} == {**json.loads(made), "timestamp": ""}
            self._other(name, "is not what the ledger says of the run", same=same)
        elif due is not None and number < due:
            old = f"is of record {number}, and the run has come to {due}"
            self._wrong(name, old, serious=self.state.end is not None)

    def _stored(self) -> None:
        """The request and the plan, which stand in the ledger too."""
        for record in self.records:
            match record.event:
                case RunPrepared(prompt=file) if file:
                    text = f"{self.state.pins.get('prompt', '')}\n"
                    self._holds(file, text.encode("utf-8", "surrogateescape"))
                case PlanProposed(plan=plan, file=file) if file and record.event is self.state.proposed:
                    self._holds(file, canonical(msgspec.convert(plan, Plan)).encode())
                case PlanComplete(file=file) if file and self.state.plan:
                    self._holds(file, canonical(msgspec.convert(self.state.plan, Plan)).encode())

    def _holds(self, name: str, data: bytes) -> None:
        if name not in self.covered:
            self._same(name, content_of(self.paths.run_dir / name), data, "is not what the ledger has")

    def _manifests(self) -> None:
        """Files that are called what they hash to, those first that the ledger names."""
        folder = f"artifacts/{FOLDER}"
        calls = (one.event for one in self.records)
        named = [f"{folder}/{one.manifest}.json" for one in calls if isinstance(one, AgentCalled) and one.manifest]
        there = [one for one in self._present() if one.startswith(f"{folder}/") and one.endswith(".json")]
        for name in dict.fromkeys([*named, *there]):
            if name not in self.covered:
                self._same(name, digest_of(self.paths.run_dir / name), Path(name).stem, "is not what its name says")


def changed_evidence(folder: Path, evidence: Mapping[str, str]) -> list[str]:
    """The files of an attempt's folder that are not as its fact has them."""
    return [name for name, digest in evidence.items() if (digest_of(folder / name) or "") != digest]
