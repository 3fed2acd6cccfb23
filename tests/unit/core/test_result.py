from branchline.core.result import Failure, StepFailed
from branchline.errors import BranchlineError


def test_a_step_that_fails_carries_its_failure() -> None:
    failure = Failure("no space", error_class="disk", hint="make room")
    error = StepFailed(failure)
    assert isinstance(error, BranchlineError)
    assert (str(error), error.hint, error.failure) == ("no space", "make room", failure)
