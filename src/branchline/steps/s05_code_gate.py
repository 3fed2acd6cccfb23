"""Step 5: fix, then verify; the batch is approved, or rejected with a report and kept."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from branchline.core.events import Codegate
from branchline.core.globs import matches_any, matches_folded
from branchline.core.result import Failure, Result, Success
from branchline.core.verdict import GateResult, Outcome, QualityReport
from branchline.gates.report import render
from branchline.git.objects import Change
from branchline.steps.checking import clean_checkout, run_gates, summary
from branchline.steps.context import StepContext

FEEDBACK_CHARACTERS = 8000


def run(ctx: StepContext) -> Result:
    """Check scope and safety of what the agent left; run the gates on a clean checkout of it; route the batch."""
    executed = ctx.outputs("execute")
    batch = _batch_name(ctx)
    work = ctx.folder / "gate"
    report = _scope_report(ctx, executed["tree"], executed["refused"])
    if report is None:
        with clean_checkout(ctx, executed["commit"]) as checkout:
            checkout.may_change = lambda path: _in_scope(ctx, path)
            report = run_gates(ctx, checkout, phase="batch", changed=executed["files"], folder=work)
    else:
        work.mkdir(parents=True, exist_ok=True)
        (work / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
        (work / "report.md").write_text(render(report), encoding="utf-8", errors="backslashreplace")
    return _route(ctx, batch, report, work)


def _batch_name(ctx: StepContext) -> str:
    """`a-1`, `a-2`: one name for every gate task of a workstream."""
    again = re.search(r"_r(\d+)$", ctx.task.id) if ctx.task.origin else None
    return f"{ctx.task.workstream}-{again.group(1) if again else 1}"


def _in_scope(ctx: StepContext, path: str) -> bool:
    return _violation(ctx, path) is None


def _violation(ctx: StepContext, path: str) -> str | None:
    """Why a path may not be changed by this workstream; None if it may."""
    scope, settings = ctx.workstream.scope, ctx.run.settings
    conflict = ctx.outputs("merge", "")
    mine = conflict.get("repair") == ctx.task.workstream and path in conflict["paths"]
    if not mine and not matches_any(scope.write, path):
        return "outside the workstream's scope"
    if matches_folded(scope.protect, path):
        return "protected by the workstream's scope"
    if matches_folded(settings.protect, path) and not matches_any(settings.allow_protected, path):
        return "a protected path (allow it by `allow_protected`)"
    return None


def _scope_report(ctx: StepContext, tree: str, refused: Sequence[str]) -> QualityReport | None:
    """A report that rejects what the gates need not even see; None if there is nothing of the kind."""
    repo = ctx.run.repo
    problems = [f"{text} (refused)" for text in refused]
    problems += [f"{c.path!r}: {why}" for c in _own_changes(ctx, tree) if (why := _violation(ctx, c.path))]
    problems += [f"{path!r}: it still holds conflict markers" for path in _unresolved(ctx, tree)]
    deleted = [c for c in repo.changes(repo.tree_of(ctx.outputs("worktrees")["base"]), tree) if c.status == "D"]
    limit = ctx.run.settings.merge.max_deleted_files
    if len(deleted) > limit:
        problems.append(f"{len(deleted)} files deleted, more than merge.max_deleted_files ({limit})")
    if not problems:
        return None
    reason = problems[0] + (f" and {len(problems) - 1} more" if len(problems) > 1 else "")
    result = GateResult(gate="scope", outcome=Outcome.FAILED, reason=reason, output="\n".join(problems))
    return QualityReport(tree=tree, passes=0, fixed=(), results=(result,))


def _own_changes(ctx: StepContext, tree: str) -> list[Change]:
    """What this workstream changed: against its base, or in the repair of a conflict against the merge it began with."""
    conflict, repo = ctx.outputs("merge", ""), ctx.run.repo
    if conflict.get("repair") == ctx.task.workstream:
        return repo.changes(str(conflict["tree"]), tree)
    return repo.changes(repo.tree_of(ctx.outputs("worktrees")["base"]), tree)


def _unresolved(ctx: StepContext, tree: str) -> list[str]:
    """Files with a marker of the very conflict that this round is to repair; gates would often let one pass."""
    conflict, repo = ctx.outputs("merge", ""), ctx.run.repo
    if conflict.get("repair") != ctx.task.workstream:
        return []
    marks = f"<<<<<<< {conflict['tip']}\n".encode(), f">>>>>>> {conflict['commit_of']}\n".encode()
    suspects = {*conflict["paths"], *(change.path for change in _own_changes(ctx, tree))}
    changes = repo.changes(repo.tree_of(ctx.outputs("worktrees")["base"]), tree)
    files = {c.new_oid: c.path for c in changes if c.path in suspects and c.new_mode.startswith("100")}
    return [files[oid] for oid, data in repo.read_blobs(files) if any(mark in data for mark in marks)]


def _route(ctx: StepContext, batch: str, report: QualityReport, work: Path) -> Result:
    run, workstream = ctx.run, ctx.task.workstream
    base = str(ctx.outputs("worktrees")["base"])
    verdict = {Outcome.PASSED: "approved", Outcome.FAILED: "rejected"}.get(report.outcome)
    kept = run.paths.run_dir / "gate" / (verdict or "error") / batch
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(work, kept)
    (kept / "batch.patch").write_bytes(run.repo.patch(run.repo.tree_of(base), report.tree))
    commit = run.repo.commit(report.tree, [base], f"batch {batch}\n", run.commit_time)
    run.repo.put_ref(run.ref(f"gate/{batch}"), commit)
    fact = Codegate(
        task_id=ctx.task.id,
        workstream=workstream,
        verdict="approved" if verdict == "approved" else "rejected" if verdict else "error",
        batch=batch,
        tree=report.tree,
        report=str(kept / "report.md"),
        reason="; ".join(f"{r.gate}: {r.reason}" for r in report.of(Outcome.FAILED, Outcome.ERROR)),
    )
    files = [change.path for change in run.repo.changes(run.repo.tree_of(base), report.tree)]
    skipped = [{"gate": r.gate, "reason": r.reason} for r in report.of(Outcome.SKIPPED)]
    outputs = {"tree": report.tree, "batch": batch, "files": files, "gates": summary(report), "skipped": skipped}
    outputs["report"] = fact.report
    if verdict == "approved":
        return Success(outputs, (fact,))
    if verdict == "rejected":
        outputs["feedback"] = render(report)[-FEEDBACK_CHARACTERS:]
        reason = f"batch {batch} rejected: {fact.reason}"
        return Failure(reason, error_class="rejected", retryable=False, outputs=outputs, facts=(fact,))
    return Failure(f"batch {batch} could not be checked: {fact.reason}", "gate_error", outputs=outputs, facts=(fact,))
