"""The review gate: a second agent reads an approved batch; what it calls blocking rejects the batch."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from branchline.attempt.agent_call import Ask, Called, call
from branchline.attempt.context_requests import review_request
from branchline.attempt.conventions import given, unabridged
from branchline.attempt.gate_run import Checkout
from branchline.attempt.manifest import Chosen, choose
from branchline.attempt.prompts import review_prompt
from branchline.attempt.run import StepContext
from branchline.attempt.scope import conflict_of
from branchline.attempt.templates import base_files
from branchline.core.durations import seconds
from branchline.core.model.agent import AgentStatus
from branchline.core.model.verdict import GateResult, Outcome
from branchline.errors import InvalidInput
from branchline.views.format.excerpt import legible
from branchline.views.format.text import count

GATE = "review"

REVIEW_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary", "findings"],
    "properties": {
        "summary": {"type": "string", "description": "what the change does, and whether it does the task"},
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["severity", "file", "line", "problem", "suggestion"],
                "properties": {
                    "severity": {"type": "string", "enum": ["blocking", "advice"]},
                    "file": {"type": "string"},
                    "line": {"type": ["integer", "null"]},
                    "problem": {"type": "string", "description": "what happens, and when"},
                    "suggestion": {"type": ["string", "null"]},
                },
            },
        },
    },
}
"""What a reviewer answers by. All members are required, because providers' strict modes take nothing else."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fault that a reviewer found; `line` is counted in the changed file."""

    severity: Literal["blocking", "advice"]
    file: str
    problem: str
    line: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        more = f"\n  Suggestion: {self.suggestion}" if self.suggestion else ""
        return f"- {self.severity}: {place}: {self.problem}{more}"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A reviewer's whole answer, as `REVIEW_SCHEMA` has it."""

    summary: str
    findings: tuple[Finding, ...]


ANSWERS = msgspec.json.Decoder(Answer)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The review as a gate's result. `retryable`: whether asking again may end better, where there is no answer."""

    result: GateResult
    retryable: bool = True


def review(ctx: StepContext, checkout: Checkout) -> Reviewed:
    """Have the configured reviewer read what a sealed checkout changes. It gets no say in what the batch is.

    A review that did not come about is an ERROR if it is required, else SKIPPED.
    """
    run, settings = ctx.run, ctx.run.settings.review
    ctx.say(f"review by {settings.agent}")
    before = run.repo.tree_of(_before(ctx))
    chosen = _chosen(ctx, before, checkout.tree)
    context = given(chosen.manifest)
    ask = Ask(
        role="reviewer",
        prompt=review_prompt(ctx, context, before, checkout.tree),
        chosen=chosen,
        context=context,
        worktree=checkout.path,
        mode="read",
        timeout=seconds(settings.timeout),
        number=ctx.task.round,
        folder=GATE,
        schema=REVIEW_SCHEMA,
    )
    try:
        called = call(ctx, settings.agent, ask, again=checkout.restore)
    except InvalidInput as error:  # it is not installed, or has no way of only reading
        return Reviewed(_without(ctx, error.message), retryable=False)
    if called.result.status is AgentStatus.OK:
        return Reviewed(_judged(called))
    why = f"reviewer {called.agent}: {called.result.message or called.result.status}"
    return Reviewed(_without(ctx, why), called.result.retryable)


def _chosen(ctx: StepContext, before: str, after: str) -> Chosen:
    """What the reviewer is given: the files that the change has touched, and what may matter to them."""
    run = ctx.run
    changes = run.repo.changes(before, after)
    changed = [change.path for change in changes if change.new_mode.startswith("100")]
    pins = unabridged(run, base_files(run))
    request = review_request(run.settings, run.plan, ctx.workstream, changed, pins=pins)
    return choose(run, request, _before(ctx), after)


def _before(ctx: StepContext) -> str:
    """The commit that the change is read against: the workstream's base, or what its conflict was merged with."""
    conflict = conflict_of(ctx)
    return conflict.tip if conflict else ctx.ws.base


def _judged(called: Called) -> GateResult:
    answer = ANSWERS.decode(msgspec.json.encode(called.result.structured))
    blocking = [finding for finding in answer.findings if finding.severity == "blocking"]
    advice = [finding for finding in answer.findings if finding.severity == "advice"]
    told = [count(len(blocking), "blocking finding")] if blocking else []
    told += [f"{len(advice)} of advice" if blocking else count(len(advice), "piece") + " of advice"] if advice else []
    return GateResult(
        gate=GATE,
        outcome=Outcome.FAILED if blocking else Outcome.PASSED,
        reason=f"{called.agent}: {', '.join(told) or 'nothing found'}",
        milliseconds=sum(fact.milliseconds for fact in called.facts),
        output=legible("\n".join([answer.summary, "", *map(str, (*blocking, *advice))])),
    )


def _without(ctx: StepContext, why: str) -> GateResult:
    # A review that was cut short by a cancel or by our time limit must not let the batch through.
    needed = ctx.run.settings.review.required or ctx.kill.reason is not None
    return GateResult(gate=GATE, outcome=Outcome.ERROR if needed else Outcome.SKIPPED, reason=why)
