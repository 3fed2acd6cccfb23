from branchline.core.facts import ApprovalNeeded, Archived, Codegate
from branchline.core.result import Failure, StepFailed, Success, facts_of
from branchline.errors import BranchlineError

FACT = Archived(task_id="t", report="r", archive="a")
ASKS = ApprovalNeeded(task_id="t", step="ship", tree="t", base="b", concerns=())
BATCH = Codegate(task_id="t", workstream="a", verdict="rejected", batch="b", tree="t", report="r")


def test_a_step_that_fails_carries_its_failure() -> None:
    failure = Failure("no space", error_class="disk", hint="make room")
    error = StepFailed(failure)
    assert isinstance(error, BranchlineError)
    assert (str(error), error.hint, error.failure) == ("no space", "make room", failure)


def test_facts_stand_in_the_order_in_which_they_are_told_and_what_waits_comes_last() -> None:
    assert facts_of(Success(FACT)) == (FACT,)
    assert facts_of(Success(FACT, ASKS, told=(BATCH,))) == (BATCH, FACT, ASKS)
    assert facts_of(Failure("no")) == facts_of(Success()) == ()
    assert facts_of(Failure("no", fact=BATCH, asks=ASKS, told=(FACT,))) == (FACT, BATCH, ASKS)
