import msgspec
import pytest

from branchline.core.model.agent import PERMANENT, TRANSIENT, AgentResult, AgentStatus, ContextFile, Usage, whole_files


@pytest.mark.parametrize("error_class", sorted(TRANSIENT | {""}))
def test_an_error_that_may_pass_by_itself_is_retried(error_class: str) -> None:
    assert AgentResult(status=AgentStatus.MODEL_ERROR, error_class=error_class).retryable


@pytest.mark.parametrize("error_class", sorted(PERMANENT))
def test_an_error_that_another_try_cannot_mend_is_not(error_class: str) -> None:
    result = AgentResult(status=AgentStatus.MODEL_ERROR, error_class=error_class)
    assert not result.retryable
    assert result.kind == error_class


def test_what_the_agent_decided_is_not_retried() -> None:
    retried = {status for status in AgentStatus if AgentResult(status=status).retryable}
    assert set(AgentStatus) - retried == {
        AgentStatus.OK,
        AgentStatus.NO_CHANGE,
        AgentStatus.REFUSED,
        AgentStatus.LIMIT,
        AgentStatus.CANCELLED,
    }


def test_a_result_without_a_class_is_known_by_its_status() -> None:
    assert AgentResult(status=AgentStatus.TIMEOUT).kind == "timeout"


def test_unknown_usage_is_unknown_and_never_zero() -> None:
    assert msgspec.to_builtins(Usage()) == {}
    assert Usage().cost_usd is None


def test_whole_files_are_as_many_as_a_window_holds_and_no_outlines() -> None:
    sizes = {"a": 60, "b": 50, "c": 40, "d": 1}
    context = [ContextFile(path=path, tokens=tokens) for path, tokens in sizes.items()]
    context.insert(1, ContextFile(path="sketch", form="outline", tokens=1))
    assert [file.path for file in whole_files(context, 100)] == ["a", "c"]
    assert [file.path for file in whole_files(context, None)] == ["a", "b", "c", "d"]
    assert list(whole_files([], 0)) == []


def test_what_a_provider_turns_away_at_the_door_has_used_nothing() -> None:
    refused = AgentResult(status=AgentStatus.MODEL_ERROR, error_class="auth")
    assert refused.turned_away
    assert not msgspec.structs.replace(refused, usage=Usage(output_tokens=1)).turned_away
    assert not msgspec.structs.replace(refused, error_class="other").turned_away
