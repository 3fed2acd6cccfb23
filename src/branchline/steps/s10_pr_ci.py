"""Step 10: the request to take the change in, and what CI says of the very commit that would land."""

from pathlib import Path

from branchline.attempt.gate_run import commit_work
from branchline.attempt.run import StepContext
from branchline.core.facts import CiStatus, PrOpened
from branchline.core.model.verdict import Outcome
from branchline.core.work import Failure, Success, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.forge.base import ChangeRequest
from branchline.forge.local import LocalForge
from branchline.views.report import body, title


def prepare(ctx: StepContext) -> Work:
    """The gates of phase `integration` on the integration commit."""
    ctx.say("CI on the integration commit")
    commit = known(ctx.state.integration).commit
    return commit_work(ctx, commit, base=ctx.run.base, phase="integration", folder="ci")


def conclude(ctx: StepContext, outcome: WorkOutcome) -> Success | Failure:
    """Write the request. Red never ships."""
    run, report = ctx.run, known(outcome.report)
    commit = known(ctx.state.integration).commit
    changed = [c.path for c in run.repo.changes(run.repo.tree_of(run.base), run.repo.tree_of(commit))]
    records, state = run.history()
    location = LocalForge(run.paths.artifacts).open_request(
        ChangeRequest(
            title=title(run.run_id, state),
            body=body(run.run_id, records, state, report, changed),
            branch=run.refs.integration,
            target=run.target,
            commit=commit,
            labels=("branchline",),
            reviewers=(),
        )
    )
    request = run.inside(Path(location))
    ctx.told.append(PrOpened(task_id=ctx.task.id, forge="local", location=request))
    status = CiStatus(
        task_id=ctx.task.id,
        commit=commit,
        verdict=str(report.outcome),
        report="artifacts/ci/report.md",
        request=request,
        gates=report.summary,
    )
    if report.outcome == Outcome.PASSED:
        return Success(status)
    kind = "ci_red" if report.outcome == Outcome.FAILED else report.error_class
    return Failure(f"CI: {report.why}", kind, retryable=report.retryable, fact=status)
