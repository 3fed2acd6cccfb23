"""The review gate: a second agent reads an approved batch; what it calls blocking rejects the batch."""

from typing import Any

from branchline.attempt.agent_call import call
from branchline.attempt.asking.context import choose, review_request
from branchline.attempt.asking.prompts import review_prompt
from branchline.attempt.gate_run import clean_checkout
from branchline.attempt.performing import have_done
from branchline.attempt.run import Attempt, StepContext
from branchline.attempt.scope import conflict_of
from branchline.core.durations import seconds
from branchline.core.model.agent import AgentStatus
from branchline.core.model.verdict import REVIEW, GateResult, Outcome
from branchline.core.planning import strict_object
from branchline.core.work import Asked, StepFailed, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.views.format.excerpt import legible
from branchline.views.format.text import count

REVIEW_SCHEMA = strict_object(
    {
        "summary": {"type": "string", "description": "what the change does, and whether it does the task"},
        "findings": {
            "type": "array",
            "items": strict_object(
                {
                    "severity": {"type": "string", "enum": ["blocking", "advice"]},
                    "file": {"type": "string"},
                    "line": {"type": ["integer", "null"]},
                    "problem": {"type": "string", "description": "what happens, and when"},
                    "suggestion": {"type": ["string", "null"]},
                }
            ),
        },
    }
)
"""What a reviewer answers by; an answer that breaks it never comes as far as here."""


def review(ctx: StepContext, tree: str) -> tuple[GateResult, bool]:
    """Have the configured reviewer read what a batch changes. It gets no say in what the batch is.

    The review as a gate's result, and whether asking again may end better where there is no answer. One that did not come
    about is an ERROR if it is required, else SKIPPED.
    """
    run, settings, conflict = ctx.run, ctx.run.settings.review, conflict_of(ctx)
    before = conflict.tip if conflict else ctx.ws.base  # the commit that the change is read against
    ctx.say(f"review by {settings.agent}")
    changes = run.repo.changes(run.repo.tree_of(before), tree)
    changed = [change.path for change in changes if change.new_mode.startswith("100")]
    given = choose(run, review_request(run.settings, run.plan, ctx.workstream, changed), before, tree)
    asked = Asked(
        role="reviewer",
        agent=settings.agent,
        prompt=review_prompt(ctx, given.files, run.repo.tree_of(before), tree),
        given=given,
        timeout=seconds(settings.timeout),
        number=ctx.task.round,
        schema=REVIEW_SCHEMA,
    )
    try:
        outcome = have_done(ctx, read, Work(**ctx.own, part=REVIEW, base=before, commit=before, tree=tree, asked=asked))
    except StepFailed as error:
        if error.failure.retryable:
            raise
        # It is not installed, or cannot be held to reading.
        return _without(ctx, error.message), False
    result = known(outcome.result)
    if result.status is AgentStatus.OK:
        return _judged(outcome), True
    why = f"reviewer {outcome.called[-1].agent}: {result.message or result.status}"
    return _without(ctx, why), result.retryable


def read(work: Work, ctx: Attempt) -> WorkOutcome:
    """Have an agent read what work begins with, in a clean checkout; what it might do there reaches nothing."""
    with clean_checkout(ctx, work) as checkout:
        return WorkOutcome(result=call(ctx, known(work.asked), checkout.path, again=checkout.restore))


def _judged(outcome: WorkOutcome) -> GateResult:
    answer = known(outcome.result).structured
    blocking = [_words(finding) for finding in answer["findings"] if finding["severity"] == "blocking"]
    advice = [_words(finding) for finding in answer["findings"] if finding["severity"] == "advice"]
    told = [count(len(blocking), "blocking finding")] if blocking else []
    told += [f"{len(advice)} of advice" if blocking else count(len(advice), "piece") + " of advice"] if advice else []
    return GateResult(
        gate=REVIEW,
        outcome=Outcome.FAILED if blocking else Outcome.PASSED,
        reason=f"{outcome.called[-1].agent}: {', '.join(told) or 'nothing found'}",
        milliseconds=sum(fact.milliseconds for fact in outcome.called),
        output=legible("\n".join([answer["summary"], "", *blocking, *advice])),
    )


def _words(finding: dict[str, Any]) -> str:
    place = finding["file"] if finding["line"] is None else f"{finding['file']}:{finding['line']}"
    more = f"\n  Suggestion: {finding['suggestion']}" if finding["suggestion"] else ""
    return f"- {finding['severity']}: {place}: {finding['problem']}{more}"


def _without(ctx: StepContext, why: str) -> GateResult:
    # A review that was cut short by a cancel or by our time limit must not let the batch through.
    needed = ctx.run.settings.review.required or ctx.kill.reason is not None
    return GateResult(gate=REVIEW, outcome=Outcome.ERROR if needed else Outcome.SKIPPED, reason=why)
