"""A ledger against git and the checkpoint files: everything that it names is there, and is what it says."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchline.core.facts import AgentCalled
from branchline.core.refs import HEADS, branch_ref
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.git.repo import Repo
from branchline.ledger.codec import Record
from branchline.ledger.paths import RunPaths
from branchline.process.output import digest_of
from branchline.views.claims import Claim, Claims, claims

SHORT = 12


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the ledger says. Not `serious`: a branch that is its user's to move once the run ended."""

    text: str
    serious: bool = True


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A ref that is not where the ledger says: its claim, where it is (None: it is gone), and that in words."""

    ref: str
    claim: Claim
    at: str | None
    text: str


def differences(paths: RunPaths, records: Sequence[Record], state: RunState) -> list[Difference]:
    """All that differs, in a run that nobody drives."""
    files = [*_files(paths, state), *_evidence(paths, records)]
    if state.kind != "pipeline":
        return files
    repo, told = Repo.open(paths.root), claims(paths.run_id, records)
    there = known(repo, told.objects)
    gone = [
        Difference(text=f"object {oid[:SHORT]}, which record {seq} names, is gone")
        for oid, seq in told.objects.items()
        if oid not in there
    ]
    # Branches of an ended run are no fault, its commits have refs besides.
    moved = [
        Difference(text=one.text, serious=state.end is None or not one.ref.startswith(HEADS))
        for one in misplaced(repo, told)
    ]
    return [*gone, *moved, *_landed(repo, told), *files]


def misplaced(repo: Repo, told: Claims) -> Iterator[Misplaced]:
    """The refs that are not where the ledger says."""
    present = repo.list_refs(told.ours.folder)
    present |= {ref: oid for ref in told.refs if ref not in present and (oid := repo.read_ref(ref))}
    wanted = [
        f"{oid}{part}" for oid in {present[ref] for ref in told.refs if ref in present} for part in ("^{tree}", "^1")
    ]
    there = known(repo, wanted)
    for ref, claim in told.refs.items():
        said = f"record {claim.seq}"
        if ref not in present:
            at = claim.commit or claim.tree or claim.parent
            yield Misplaced(ref, claim, None, f"{ref} is gone; {said} has it" + (f" at {at[:SHORT]}" if at else ""))
        elif wrong := _elsewhere(present[ref], claim, there):
            yield Misplaced(ref, claim, present[ref], f"{ref} was moved: {wrong}, as {said} says")


def _elsewhere(oid: str, claim: Claim, there: dict[str, str]) -> str:
    if claim.commit and oid != claim.commit:
        return f"it is at {oid[:SHORT]}, not at {claim.commit[:SHORT]}"
    if claim.tree and there.get(f"{oid}^{{tree}}") != claim.tree:
        return f"{oid[:SHORT]} does not hold the tree {claim.tree[:SHORT]}"
    if claim.parent and there.get(f"{oid}^1") != claim.parent:
        return f"{oid[:SHORT]} does not stand on {claim.parent[:SHORT]}"
    return ""


def _landed(repo: Repo, told: Claims) -> Iterator[Difference]:
    for branch, commit, seq in told.held:
        tip = repo.read_ref(branch_ref(branch))
        if tip is None:
            yield Difference(text=f"the branch {branch} is gone, to which record {seq} shipped {commit[:SHORT]}")
        elif not (known(repo, [commit]) and repo.is_ancestor(commit, tip)):
            yield Difference(
                text=f"{branch} was moved: it does not hold {commit[:SHORT]} any more, as record {seq} says"
            )


def known(repo: Repo, names: Iterable[str]) -> dict[str, str]:
    """{name: object id} of those that there are, in one call to git."""
    asked = list(dict.fromkeys(names))
    if not asked:
        return {}
    stdin = "".join(f"{name}\n" for name in asked).encode()
    answers = repo.content.call("cat-file", "--batch-check=%(objectname)", stdin=stdin).decode().splitlines()
    pairs = zip(asked, answers, strict=True)
    return {name: answer for name, answer in pairs if not answer.endswith((" missing", " ambiguous"))}


def changed_evidence(folder: Path, evidence: Mapping[str, str]) -> list[str]:
    """The files of an attempt's folder that are not as its fact has them."""
    return [name for name, digest in evidence.items() if (digest_of(folder / name) or "") != digest]


def _evidence(paths: RunPaths, records: Sequence[Record]) -> Iterator[Difference]:
    for event in (record.event for record in records):
        if isinstance(event, AgentCalled):
            for name in changed_evidence(paths.run_dir / event.folder, event.evidence):
                yield Difference(text=f"{event.folder}/{name} was changed after the attempt")


def _files(paths: RunPaths, state: RunState) -> Iterator[Difference]:
    """Checkpoint files of completed tasks; in a run that can go on, the next resume writes those that are missing."""
    for name, record in state.records.items():
        if record.state != State.COMPLETED:
            continue
        place = paths.checkpoints / f"{name}.json"
        try:
            page = json.loads(place.read_bytes())
            # What a run of version 1 has handed on is there twice: as its ledger has it, and as we read it.
            there = page["outputs"] in (record.handed_on(), record.outputs)
            same = there and (page["state"], page["attempt"]) == (record.state, record.attempt)
        except FileNotFoundError:
            mended = f"branchline resume {paths.run_id} writes it"
            yield Difference(text=f"the checkpoint {place} is missing: {mended}", serious=state.end is not None)
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield Difference(text=f"the checkpoint {place} cannot be read: {error}", serious=state.end is not None)
        else:
            if not same:
                yield Difference(text=f"the checkpoint {place} is not what the ledger says of the task")
