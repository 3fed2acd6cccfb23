"""A review that does not come about, and what a reviewer leaves behind."""

from typing import Any

import pytest

from branchline.attempt.review import review
from branchline.attempt.run import StepContext
from branchline.config.settings import Review
from branchline.core.facts import AgentCalled
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.plan import Action, WriteFile
from branchline.core.model.verdict import GateResult, Outcome
from unit.attempt.conftest import Make

GONE = AgentSpec(id="gone", command=("no-such-program",), read_command=("no-such-program",))
BLIND = AgentSpec(id="blind", command=("true",))
FINE: dict[str, Any] = {"summary": "Fine.", "findings": []}


def reviewed(ctx: StepContext) -> tuple[GateResult, bool]:
    return review(ctx, ctx.run.repo.tree_of(ctx.run.base))


@pytest.mark.parametrize(("required", "outcome"), [(False, Outcome.SKIPPED), (True, Outcome.ERROR)])
@pytest.mark.parametrize(("spec", "why"), [(GONE, "no-such-program"), (BLIND, "cannot be held to reading")])
def test_a_reviewer_that_cannot_be_called(
    make: Make, spec: AgentSpec, why: str, required: bool, outcome: Outcome
) -> None:
    ctx = make({"a": "a"}, agents=(spec,), review=Review(agent=spec.id, required=required))
    found, retryable = reviewed(ctx)
    assert (found.outcome, retryable) == (outcome, False)
    assert ctx.told == []
    assert why in found.reason


def test_a_review_that_was_cut_short_lets_nothing_through(make: Make) -> None:
    critic = AgentSpec(id="critic", use="scripted", scripts=((Action(answer=FINE),),))
    ctx = make({"a": "a"}, agents=(critic,), review=Review(agent="critic"))
    ctx.kill.pull("cancelled")
    assert reviewed(ctx)[0].outcome is Outcome.ERROR


def test_the_one_who_stands_in_finds_the_batch_as_it_was(make: Make) -> None:
    spoils = Action(write=WriteFile(path="a", content="evil")), Action(fail="no")
    looks = Action(run=("grep", "-qx", "a", "a")), Action(answer=FINE)
    critics = (
        AgentSpec(id="first", use="scripted", scripts=(spoils,), fallback=("second",)),
        AgentSpec(id="second", use="scripted", scripts=(looks,)),
    )
    ctx = make({"a": "a\n"}, agents=critics, review=Review(agent="first"))
    found, _ = reviewed(ctx)
    assert found.reason == "second: nothing found"
    assert [fact.agent for fact in ctx.told if isinstance(fact, AgentCalled)] == ["first", "second"]
