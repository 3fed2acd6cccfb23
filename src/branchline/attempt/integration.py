"""Merging commits in the order of the queue, by plumbing, with nothing checked out."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from branchline.attempt.gate_run import check_commit
from branchline.attempt.run import Run, StepContext
from branchline.core.facts import MergeConflict, WsCheckpoint
from branchline.core.model.verdict import Outcome, QualityReport
from branchline.core.rules.globs import matches
from branchline.core.work import Failure, StepFailed
from branchline.core.workstream import known
from branchline.git.landing.merge import Conflicted, Merged, Strategy, merge_trees
from branchline.views.format.text import subject

_STRANGE = "{path} was merged by lines: the driver {driver} of .gitattributes does not count here"


@dataclass(slots=True)
class Integration:
    """A merge result: its commit, the workstreams in it, those left out with the reason, and what is worth a word.

    Once it has landed on the target: the `tag` that it bears, and `onto`, where the target was before.
    """

    commit: str
    merged: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    conflict: MergeConflict | None = None
    warnings: list[str] = field(default_factory=list)
    tag: str = ""
    onto: str = ""


def merge(run: Run, ours: str, theirs: str, declared: str, *, base: str = "") -> Merged | Conflicted:
    """Merge by the strategies of the settings, and by the attributes that the user had `declared`."""

    def strategy_of(path: str) -> Strategy | None:
        return next((one.strategy for one in run.settings.merge.paths if matches(one.match, path)), None)

    return merge_trees(run.repo, ours, theirs, strategy_of, base=base, declared=declared)


def combine(  # noqa: PLR0913 - keyword-only data
    run: Run,
    ours: str,
    theirs: str,
    message: str,
    *,
    declared: str = "",
    since: str = "",
    told: list[str] | None = None,
) -> str | Conflicted:
    """A merge commit of two commits (or the one that holds the other); no side is ever picked silently.

    `declared`: the commit whose attributes count (the run's base). `since`: a commit; only what `theirs` changes since then
    is taken over, and nothing of its history. What is worth a word is added to `told`.
    """
    if not since and run.repo.is_ancestor(theirs, ours):
        return ours
    merged = merge(run, ours, theirs, declared or run.base, base=since)
    if isinstance(merged, Conflicted):
        return merged
    if told is not None:
        told += [_STRANGE.format(path=path, driver=driver) for path, driver in merged.strange]
    if since and merged.tree == run.repo.tree_of(ours):
        return ours
    return run.repo.commit(merged.tree, [ours] if since else [ours, theirs], message + "\n", run.commit_time)


@dataclass(slots=True)
class _Line:
    """Workstreams merged one after the other onto a commit: `tip`, in words what is worth one in `told`.

    Where the run's base is not in that commit's history (a user reset, amended or rebased the branch), they are merged
    onto the base, at `own`, and only what each changes there is taken over: its history would bring back what the user
    took away.
    """

    run: Run
    onto: str
    tip: str
    own: str
    told: list[str] = field(default_factory=list)

    def take(self, commit: str, message: str) -> Conflicted | None:
        """Merge one more; where it conflicts, nothing has happened."""
        own = combine(self.run, self.own, commit, message, declared=self.onto, told=self.told)
        if isinstance(own, Conflicted):
            return own
        if self.own == self.tip:
            tip: str | Conflicted = own
        else:
            tip = combine(self.run, self.tip, own, message, declared=self.onto, since=self.own)
        if isinstance(tip, Conflicted):
            return tip
        self.own, self.tip = own, tip
        return None


def merge_queue(ctx: StepContext, base: str, order: Sequence[str], *, repair: bool) -> Integration:
    """Merge the workstreams of the queue onto `base`, in order. A conflict drops that workstream and those built on it.

    With `repair` the first conflict stops the merge and is described in `conflict`. Raises StepFailed when the
    policy is to abort.
    """
    run = ctx.run
    line = _Line(run, base, base, base if run.repo.is_ancestor(run.base, base) else run.base)
    taken_in: dict[str, list[str]] = {}  # every commit that batches ever became, those of earlier rounds too
    for event in (record.event for record in run.history()[0]):
        if isinstance(event, WsCheckpoint):
            taken_in.setdefault(event.workstream, []).append(event.commit)
    result, start = Integration(base, warnings=line.told), line.own

    def holds(commit: str, parts: Sequence[str]) -> bool:
        return any(run.repo.is_ancestor(one, commit) and not run.repo.is_ancestor(one, start) for one in parts)

    for name in order:
        lost = [d for d in run.plan.workstream(name).depends_on if d in result.dropped]
        if lost:
            result.dropped[name] = f"it builds on {lost[0]}, which was dropped"
            continue
        commit = ctx.of(name).commit
        outside = (one for one in taken_in if one in result.dropped or one not in order)
        # Its work would land with a commit that was made on a merge which had it.
        held = next((one for one in outside if holds(commit, taken_in[one])), None)
        if held is not None:
            result.dropped[name] = f"it holds the work of {held}, which is not merged"
            continue
        title = subject(run.plan.workstream(name).title)
        head = f"Merge workstream {name}" + (f": {title}" if title else "")
        conflict = line.take(commit, f"{head}\n\nBranchline-Run: {run.run_id}\nBranchline-Workstream: {name}")
        if conflict is None:
            result.commit = line.tip
            result.merged.append(name)
            continue
        torn = set(conflict.paths)
        rivals = [one for one in result.merged if torn.intersection(known(ctx.of(one).batch).files)]
        rival = " and ".join(rivals) or "what was merged before it"  # its base, if nobody changed the same files
        reason = f"it conflicts with {rival} in {', '.join(conflict.paths)}"
        if run.settings.merge.on_conflict == "abort":
            raise StepFailed(Failure(f"workstream {name}: {reason}", error_class="conflict", retryable=False))
        if repair and ctx.of(name).round <= run.settings.repair.rounds:
            result.conflict = MergeConflict(
                task_id=ctx.task.id,
                workstream=name,
                tree=conflict.tree,
                tip=result.commit,
                commit=commit,
                paths=tuple(conflict.paths),
                reason=reason,
            )
            return result
        result.dropped[name] = reason
    return result


def prove(ctx: StepContext, base: str, order: Sequence[str], *, repair: bool) -> Integration:
    """Merge onto `base`, then check the merge result; a workstream that breaks it is found by bisection, dropped, and so on.

    Nothing is checked when the result is what a workstream's own validation has seen already.
    """
    left, broken = list(order), dict[str, str]()
    while True:
        result = merge_queue(ctx, base, left, repair=repair)
        result.dropped.update(broken)
        tree = ctx.run.repo.tree_of(result.commit)
        # Whether a workstream's validation saw this tree, and all that is changed in it: gates go by what is changed.
        seen = any(ctx.of(name).base == base and ctx.of(name).tree == tree for name in result.merged)
        if result.conflict or not result.merged or seen:
            return result
        report = _checked(ctx, base, result.commit)
        if report.outcome == Outcome.PASSED:
            return result
        culprit = _culprit(ctx, base, result.merged)
        failing = ", ".join(r.gate for r in report.of(Outcome.FAILED))
        broken[culprit] = f"together with what is merged before it, it fails {failing}"
        left = [name for name in left if name not in broken]
        for name in list(left):
            if lost := [d for d in ctx.run.plan.workstream(name).depends_on if d in broken]:
                broken[name] = f"it builds on {lost[0]}, which was dropped"
                left.remove(name)


def _checked(ctx: StepContext, base: str, commit: str) -> QualityReport:
    """The gates' verdict on a merge. "Could not check" is none: nobody is blamed for it."""
    report = check_commit(ctx, commit, base=base, phase="validation", name=f"validation/merge-{commit[:12]}")
    if report.outcome == Outcome.ERROR:
        reason = f"the merge result could not be checked: {report.why}"
        raise StepFailed(Failure(reason, report.error_class, report.retryable))
    return report


def _culprit(ctx: StepContext, base: str, merged: Sequence[str]) -> str:
    """The workstream at which the merge result first fails, by bisection over the order."""
    good, bad = 0, len(merged)
    while bad - good > 1:
        middle = (good + bad) // 2
        prefix = merge_queue(ctx, base, merged[:middle], repair=False)
        if _checked(ctx, base, prefix.commit).outcome == Outcome.PASSED:
            good = middle
        else:
            bad = middle
    return merged[bad - 1]
