import msgspec
import pytest

from branchline.core.agent import RETRYABLE, AgentSpec, AgentStatus, Usage, unknown_placeholders


def test_what_may_pass_by_itself_is_retried_and_what_the_agent_decided_is_not() -> None:
    assert set(AgentStatus) - RETRYABLE == {
        AgentStatus.OK,
        AgentStatus.NO_CHANGE,
        AgentStatus.REFUSED,
        AgentStatus.LIMIT,
        AgentStatus.CANCELLED,
    }


def test_a_placeholder_is_a_whole_argument() -> None:
    assert unknown_placeholders(["{prompt}", "{promt}", "x{promt}", "{}", "{model}"]) == ["{promt}"]


def test_unknown_usage_is_unknown_and_never_zero() -> None:
    assert msgspec.to_builtins(Usage()) == {}
    assert Usage().cost_usd is None


def test_an_agent_needs_a_command() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"id": "x", "command": []}, AgentSpec)
