"""A ledger against git and the run's files: everything that it names is there, and is what it says."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from branchline.core.events import SavedReleased
from branchline.core.facts import ShipComplete
from branchline.core.refs import HEADS, branch_ref
from branchline.core.run_state import RunState
from branchline.engine.record_files import Difference, Files
from branchline.git.repo import Repo
from branchline.git.sound import answered, soundness
from branchline.ledger.codec import Record
from branchline.ledger.paths import RunPaths
from branchline.views.claims import Claim, Claims, claims

SHORT = 12


MOST_BYTES = 256 << 20  # of files that the run did not make: those of the base and of what it landed on
NEVER = ("git's reflogs, indexes and configuration", "history before the base", "how git packs objects")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, and what was not looked at: files of the run, refs, and more, by name."""

    differences: tuple[Difference, ...] = ()
    not_covered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A ref that is not where the ledger says: its claim, where it is (None: it is gone), and that in words."""

    ref: str
    claim: Claim
    at: str | None
    text: str


def compared(paths: RunPaths, records: Sequence[Record], state: RunState) -> Comparison:
    """All that differs, in a run that nobody drives."""
    files = Files(paths, records, state).look()
    if state.kind != "pipeline":
        return Comparison(tuple(files.differences), files.uncovered)
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
    own = repo.list_refs(told.ours.folder)
    released = {ref for one in records if isinstance(one.event, SavedReleased) for ref in one.event.refs}
    exact = {ref for ref, claim in told.refs.items() if claim.commit}
    archived = dict(files.archive.get("refs", {}))
    archived = {ref: oid for ref, oid in archived.items() if ref not in {told.ours.head, *exact, *released}}
    stray = tuple(ref for ref in own if ref not in {told.ours.head, *told.refs, *archived})
    bad, unread = _unsound(repo, told, records, str(state.pins["base"]), [*there.values(), *own.values()])
    found = (*gone, *moved, *_kept(repo, archived, own), *bad, *_landed(repo, told), *files.differences)
    return Comparison(found, (*files.uncovered, *stray, *unread, *NEVER))


def _kept(repo: Repo, archived: Mapping[str, str], own: Mapping[str, str]) -> Iterator[Difference]:
    """The run's other refs, as its archive has them; branches are their user's to move."""
    for ref, oid in archived.items():
        branch = ref.startswith(HEADS)
        at = repo.read_ref(ref) if branch else own.get(ref)
        if at is None:
            text = f"{ref} is gone; the run's archive has it at {oid[:SHORT]}"
            yield Difference(text=text, serious=not branch)
        elif at != oid:
            text = f"{ref} was moved: it is at {at[:SHORT]}, not at {oid[:SHORT]}, as the run's archive says"
            yield Difference(text=text, serious=not branch)


def _unsound(
    repo: Repo, told: Claims, records: Sequence[Record], base: str, own: Sequence[str]
) -> tuple[list[Difference], tuple[str, ...]]:
    """The objects of the run and of what landed that are not what their names say, and how many were not read."""
    onto = [one.event.onto for one in records if isinstance(one.event, ShipComplete) and one.event.onto]
    others = known(repo, [base, *onto])
    promised = bool(repo.user.promisors)
    found = soundness(repo, own, others.values(), most_bytes=MOST_BYTES, promised=promised)
    seqs = {oid: f", which record {seq} names," for oid, seq in told.objects.items()}
    bad = [Difference(text=f"object {oid[:SHORT]}{seqs.get(oid, '')} {why}") for oid, why in found.damaged.items()]
    size = f" of {found.unread_bytes >> 20} MB" if found.unread_bytes else ""
    unread = (f"{found.unread} objects{size} that the run did not make",) if found.unread else ()
    return bad, unread


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
    """{name: object id} of those that there are, as far as git can read them."""
    asked = list(dict.fromkeys(names))
    pairs = zip(asked, answered(repo, asked, "=%(objectname)"), strict=True)
    return {name: answer for name, answer in pairs if not answer.endswith((" missing", " ambiguous"))}
