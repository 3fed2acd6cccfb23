"""Step 5: fix, then verify; the batch is approved, or rejected with a report and kept."""

import shutil
import time
from typing import Literal

import msgspec

from branchline.attempt.approval import MOST_TOLD, guarded, guarded_by_settings, needed_by_batch
from branchline.attempt.asking.prompts import feedback
from branchline.attempt.judged import judged
from branchline.attempt.review import review
from branchline.attempt.run import StepContext
from branchline.attempt.scope import PROTECTED, PROTECTED_BY_SCOPE, conflict_of, reference, torn, violation
from branchline.core.facts import Codegate, ExecuteWsComplete
from branchline.core.model.verdict import GateResult, Outcome, QualityReport
from branchline.core.rules.linear import compiled
from branchline.core.work import Failure, Gating, Success, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.gates.report import write_report
from branchline.git.objects import Change

FOLDER = "gate"  # of the attempt's own
VERDICTS: dict[Outcome, Literal["approved", "rejected", "error"]] = {
    Outcome.PASSED: "approved",
    Outcome.FAILED: "rejected",
    Outcome.ERROR: "error",
}


def prepare(ctx: StepContext) -> Work | Success | Failure:
    """Check progress, scope and safety of what the agent left, before it goes through the gates."""
    left = known(ctx.ws.work)
    if again := _no_progress(ctx, left.tree):
        return again
    if report := _scope_report(ctx, left):
        return _route(ctx, report)
    gating = Gating(
        phase="batch",
        changed=left.files,
        folder=ctx.run.inside(ctx.folder / FOLDER),
        beside_others=ctx.run.has_several,
    )
    base, scope = ctx.ws.base, ctx.workstream.scope
    return Work(**ctx.own, base=base, commit=left.commit, tree=left.tree, gating=gating, scope=scope, torn=torn(ctx))


def conclude(ctx: StepContext, outcome: WorkOutcome) -> Success | Failure:
    """Have what passed reviewed, if it is to be; route the batch."""
    report, retryable = known(outcome.report), True
    if report.outcome is Outcome.PASSED and ctx.run.settings.review.agent:
        seen, retryable = review(ctx, report.tree)
        report = msgspec.structs.replace(report, results=(*report.results, seen))
    return _route(ctx, report, retryable=retryable)


def _no_progress(ctx: StepContext, tree: str) -> Failure | None:
    """The end of a workstream whose agent has left what an earlier round was rejected for; the batch of then stands."""
    if ctx.task.round == 1:
        return None
    records, state = ctx.run.history()
    for event in (record.event for record in records):
        match event:
            case Codegate(workstream=ctx.task.workstream, verdict="rejected") if tree in {event.given, event.tree}:
                before = state.records[event.task_id]
                if before.task.round < ctx.task.round:
                    reason = f"no progress: round {ctx.task.round} ended with the files that batch {event.batch} had"
                    again = msgspec.structs.replace(event, task_id=ctx.task.id, reason=reason)
                    return Failure(reason, "no_progress", retryable=False, fact=again)
    return None


def _scope_report(ctx: StepContext, work: ExecuteWsComplete) -> QualityReport | None:
    """A report that rejects what the gates need not even see; None if there is nothing of the kind."""
    repo, tree = ctx.run.repo, work.tree
    problems = [f"{text} (refused)" for text in work.refused]
    problems += [f"{path!r}: {why}" for path, why in _violations(ctx, tree).items()]
    problems += [f"{path!r}: it still holds conflict markers" for path in _unresolved(ctx, tree)]
    deleted = [c for c in repo.changes(repo.tree_of(ctx.ws.base), tree) if c.status == "D"]
    limit = ctx.run.settings.merge.max_deleted_files
    if limit is not None and len(deleted) > limit:
        problems.append(f"{len(deleted)} files deleted, more than merge.max_deleted_files ({limit})")
    if not problems:
        return None
    reason = problems[0] + (f" and {len(problems) - 1} more" if len(problems) > 1 else "")
    result = GateResult(gate="scope", outcome=Outcome.FAILED, reason=reason, output="\n".join(problems))
    return QualityReport(tree=tree, passes=0, fixed=(), results=(result,))


def _violations(ctx: StepContext, tree: str) -> dict[str, str]:
    """{path: why this workstream may not change it}, also under the names that links give it."""
    changes, run, trees = _own_changes(ctx, tree), ctx.run, (reference(ctx), tree)
    scope = ctx.workstream.scope
    found = dict.fromkeys(guarded(run, scope.protect, changes, *trees), PROTECTED_BY_SCOPE)
    if run.settings.approvals.protected == "reject":
        found |= dict.fromkeys(guarded_by_settings(run, changes, *trees), PROTECTED)
    found |= {c.path: why for c in changes if (why := violation(run, scope, torn(ctx), c.path))}
    return {c.path: found[c.path] for c in changes if c.path in found}


def _own_changes(ctx: StepContext, tree: str) -> list[Change]:
    """What this workstream changed: against its base, or in the repair of a conflict against the merge it began with."""
    repo, conflict = ctx.run.repo, conflict_of(ctx)
    return repo.changes(conflict.tree if conflict else repo.tree_of(ctx.ws.base), tree)


def _unresolved(ctx: StepContext, tree: str) -> list[str]:
    """Files with a marker of the very conflict that this round is to repair; gates would often let one pass."""
    conflict, repo = conflict_of(ctx), ctx.run.repo
    if not conflict:
        return []
    marks = f"<<<<<<< {conflict.tip}\n".encode(), f">>>>>>> {conflict.commit}\n".encode()
    suspects = {*conflict.paths, *(change.path for change in _own_changes(ctx, tree))}
    changes = repo.changes(repo.tree_of(ctx.ws.base), tree)
    files = {c.new_oid: c.path for c in changes if c.path in suspects and c.new_mode.startswith("100")}
    return [files[oid] for oid, data in repo.read_blobs(files) if any(mark in data for mark in marks)]


def _route(ctx: StepContext, report: QualityReport, *, retryable: bool = True) -> Success | Failure:
    run, workstream, base, left = ctx.run, ctx.task.workstream, ctx.ws.base, known(ctx.ws.work)
    again = compiled(r"_r(\d+)$").search(ctx.task.id) if ctx.task.origin else None
    batch = f"{workstream}-{again[1] if again else 1}"  # one name for every gate task of a workstream
    verdict = VERDICTS[report.outcome]
    more = ("\n## Not in the batch\n", *(f"- {text}" for text in left.left_out), "") if left.left_out else ()
    not_in_it = "\n".join(more)
    write_report(report, ctx.folder / FOLDER, not_in_it)
    kept = run.paths.run_dir / "gate" / verdict / batch
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ctx.folder / FOLDER, kept)
    (kept / "batch.patch").write_bytes(run.repo.patch(run.repo.tree_of(base), report.tree))
    commit = run.repo.commit(report.tree, [base], f"batch {batch}\n", run.commit_time)
    run.repo.keep_ref(run.refs.gate(batch), commit)
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=workstream,
        verdict=verdict,
        batch=batch,
        tree=report.tree,
        report=run.inside(kept / "report.md"),
        reason=report.why,
        given=left.tree,
        at=time.time_ns() // 1_000_000,
        files=tuple(change.path for change in run.repo.changes(run.repo.tree_of(base), report.tree)),
        gates=report.summary,
        feedback=feedback(report) + not_in_it if verdict == "rejected" else "",
    )
    if verdict == "approved" and report.tree == reference(ctx) and not conflict_of(ctx):
        undone = msgspec.structs.replace(fact, verdict="rejected", reason="it changes nothing")
        reason = f"batch {batch} changes nothing: what the agent had changed is undone"
        return Failure(reason, "no_change", retryable=False, fact=undone)
    if verdict == "approved":
        before = reference(ctx)
        found = judged(run, run.repo.changes(before, report.tree), before, report.tree, report.results)
        need = needed_by_batch(ctx, report.tree, found)
        told = {"judged": found[:MOST_TOLD], "judged_more": len(found[MOST_TOLD:]), "approval": need is not None}
        return Success(msgspec.structs.replace(fact, **told), need)
    if verdict == "rejected":
        return Failure(f"batch {batch} rejected: {fact.reason}", "rejected", retryable=False, fact=fact)
    reason = f"batch {batch} could not be checked: {fact.reason}"
    return Failure(reason, report.error_class, retryable=retryable and report.retryable, fact=fact)
