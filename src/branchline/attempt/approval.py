"""What a person has to look at before a batch is taken in or a merge ships; and what was said of it."""

from collections import Counter
from collections.abc import Iterable, Sequence

from branchline.attempt.integration import Integration
from branchline.attempt.judged import judged
from branchline.attempt.run import Run, StepContext
from branchline.attempt.scope import reference
from branchline.config.load import PYPROJECT, same_table
from branchline.core.facts import ApprovalNeeded, Concern
from branchline.core.rules.globs import matches_any
from branchline.core.rules.protection import protection
from branchline.core.rules.remark import Remark
from branchline.core.work import Failure, StepFailed
from branchline.git.objects import Change

MOST_TOLD = 100
FEW = 10  # deleted files that are no share of anything


def needed_by_batch(ctx: StepContext, tree: str, remarks: Iterable[Remark] = ()) -> ApprovalNeeded | None:
    """What keeps a batch from being taken in, against what it was made from; `remarks`: what it does to its judges."""
    run, base = ctx.run, reference(ctx)
    changes = run.repo.changes(base, tree)
    concerns = [*_protected(run, changes, base, tree), *_deletions(run, changes, base), *_judged(run, remarks)]
    return _need(ctx, "consume", base, tree, concerns)


def needed_by_merge(ctx: StepContext, base: str, result: Integration) -> ApprovalNeeded | None:
    """What keeps a merge onto the commit `base` from shipping: what was approved in no batch, and what settings say.

    Raises StepFailed where protected paths are never to change, and the merge changes one that no batch did.
    """
    run = ctx.run
    old, new = run.repo.tree_of(base), run.repo.tree_of(result.commit)
    taken = [ctx.of(name) for name in result.merged]
    batches = [run.repo.changes(run.repo.tree_of(one.base), one.tree) for one in taken]
    changes = run.repo.changes(old, new)
    emptied = [batch for batch in batches if _deletions(run, batch, old)]  # somebody has said yes to each
    concerns = _protected(run, _unlike(changes, batches), old, new)
    concerns += _deletions(run, _unlike(changes, emptied), old)
    if run.settings.approvals.judges:
        concerns += _judged(run, judged(run, _unlike(changes, batches), old, new))
    if concerns and run.settings.approvals.protected == "reject" and concerns[0].kind == "protected":
        reason = f"the merge changes {concerns[0].path}, which {concerns[0].reason} and which no batch changes so"
        raise StepFailed(Failure(reason, error_class="protected", retryable=False))
    if run.settings.approvals.ship:
        where = (
            f"{run.target} is to move to it"
            if run.settings.ship.mode == "merge"
            else f"it is on {run.refs.integration}"
        )
        concerns.append(Concern(kind="ship", reason=f"{where}, and approvals.ship asks first"))
    return _need(ctx, "ship", old, new, concerns)


def refuse_rejected(ctx: StepContext) -> None:
    """Go no further if a person has said no. Raises StepFailed."""
    said = ctx.decision
    if said is not None and said.verdict == "rejected":
        why = f": {said.reason}" if said.reason else ""
        raise StepFailed(Failure(f"rejected by {said.by}{why}", "rejected", retryable=False))


def require_approved(ctx: StepContext, tree: str) -> None:
    """Go on only with a person's yes to this very tree. Raises StepFailed."""
    refuse_rejected(ctx)
    if ctx.decision is None or ctx.decision.tree != tree:
        raise StepFailed(Failure(f"nobody has approved the tree {tree[:12]}", "unapproved", retryable=False))


def guarded(run: Run, globs: Sequence[str], changes: Sequence[Change], *trees: str) -> dict[str, str]:
    """{path: the name under which the globs protect it}, of what changed; `trees` are those with its links."""
    return _named(globs, changes, _links(run, trees)) if changes else {}


def guarded_by_settings(run: Run, changes: Sequence[Change], *trees: str) -> dict[str, str]:
    """As `guarded`, of what the settings protect: files, and the settings in a `pyproject.toml`."""
    asked = [change for change in changes if not matches_any(run.settings.allow_protected, change.path)]
    if not asked:
        return {}
    links = _links(run, trees)
    tables = _named((PYPROJECT,), asked, links)
    files = [change for change in asked if change.path in tables and _are_files(change)]
    content = {
        "": b"",
        **dict(run.repo.read_blobs({oid for c in files for oid in (c.old_oid, c.new_oid) if oid.strip("0")})),
    }
    for change in files:
        if same_table(*(content[oid if oid.strip("0") else ""] for oid in (change.old_oid, change.new_oid))):
            del tables[change.path]
    return tables | _named(run.settings.guarded, asked, links)


def _links(run: Run, trees: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple(link for tree in dict.fromkeys(trees) for link in run.repo.links(tree))


def _named(globs: Sequence[str], changes: Sequence[Change], links: tuple[tuple[str, str], ...]) -> dict[str, str]:
    found = protection(tuple(globs), links)
    named = {change.path: found.name_of(change.path, link=not _are_files(change)) for change in changes}
    return {path: name for path, name in named.items() if name}


def _are_files(change: Change) -> bool:
    """Whether it was a file and is one, or was not there; not a link or a submodule."""
    return not {"120000", "160000"} & {change.old_mode, change.new_mode}


def _protected(run: Run, changes: Sequence[Change], *trees: str) -> list[Concern]:
    if run.settings.approvals.protected == "allow":
        return []
    verbs = {c.path: {"A": "added", "D": "deleted"}.get(c.status, "changed") for c in changes}
    found = []
    for path, name in guarded_by_settings(run, changes, *trees).items():
        alias = "" if name.casefold() == path.casefold() else f", as {name}"
        what = "is protected" if name != PYPROJECT else "holds settings of Branchline, and they are not what they were"
        found.append(Concern(kind="protected", path=path, reason=f"{what} ({verbs[path]}{alias})"))
    return found


def _judged(run: Run, remarks: Iterable[Remark]) -> list[Concern]:
    asked = run.settings.approvals.judges
    return [Concern(kind="judges", path=one.path, reason=f"({one})") for one in remarks if one.kind in asked]


def _deletions(run: Run, changes: Sequence[Change], base: str) -> list[Concern]:
    """Too many files deleted; one that was only renamed is none."""
    rules = run.settings.approvals
    moved = Counter(change.new_oid for change in changes if change.status == "A")
    gone = [change for change in changes if change.status == "D"]
    number = len(gone) - sum((moved & Counter(change.old_oid for change in gone)).values())
    if rules.deletions is not None and number > rules.deletions:
        return [Concern(kind="deletions", reason=f"{number} files deleted, more than {rules.deletions}")]
    if rules.deleted_share is None or number < FEW:
        return []
    every = len(run.repo.entries(base))
    if number <= rules.deleted_share * every:
        return []
    return [Concern(kind="deletions", reason=f"{number} of {every} files deleted, more than {rules.deleted_share:.0%}")]


def _unlike(changes: Iterable[Change], batches: Iterable[Iterable[Change]]) -> list[Change]:
    """The changes that are in none of the batches with the same outcome."""
    seen = {(change.path, change.new_mode, change.new_oid) for batch in batches for change in batch}
    return [change for change in changes if (change.path, change.new_mode, change.new_oid) not in seen]


def _need(ctx: StepContext, step: str, base: str, tree: str, concerns: Iterable[Concern]) -> ApprovalNeeded | None:
    told = tuple(concerns)
    if not told:
        return None
    return ApprovalNeeded(
        task_id=ctx.task.id,
        step=step,
        workstream=ctx.task.workstream,
        tree=tree,
        base=base,
        concerns=told[:MOST_TOLD],
        more=len(told[MOST_TOLD:]),
    )
