from typing import Any

import msgspec
import pytest

from branchline.core.model.agent_spec import (
    AgentSpec,
    Group,
    Output,
    chain,
)


def spec(**members: Any) -> AgentSpec:
    return msgspec.convert({"id": "x", "command": ["tool"]} | members, AgentSpec)


def test_a_command_is_not_empty_and_a_group_has_arguments() -> None:
    for command in (
        [],
        [{"each": "context", "as": []}],
        [{"each": "files", "as": ["x"]}],
        [{"when": "x", "as": ["y"]}],
    ):
        with pytest.raises(msgspec.ValidationError):
            spec(command=command)
    made = spec(command=["t", {"if": "model", "as": ["-m", "{model}"]}])
    assert made.command == ("t", Group(if_="model", as_=("-m", "{model}")))
    assert msgspec.convert(msgspec.to_builtins(made), AgentSpec) == made


def test_the_places_that_are_set() -> None:
    assert Output(format="json", add=True, message="$.a", cost_usd="$.b").places == {
        "message": "$.a",
        "cost_usd": "$.b",
    }


def test_a_chain_has_an_agents_own_fallbacks_before_theirs_and_names_nobody_twice() -> None:
    fallback = {"a": ["b", "c"], "b": ["d", "a"], "c": ["d"], "d": []}
    assert chain("a", fallback.__getitem__) == ("a", "b", "c", "d")
    assert chain("d", fallback.__getitem__) == ("d",)


@pytest.mark.parametrize(
    ("members", "tokens"),
    [
        ({"use": "aider"}, 80_000),
        ({"use": "claude_code"}, 150_000),
        ({"use": "aider", "window": 9}, 9),
        ({"use": "codex"}, None),
        ({"command": ["aider"]}, None),
    ],
)
def test_an_agent_has_a_window_of_its_own(members: dict[str, Any], tokens: int | None) -> None:
    assert msgspec.convert({"id": "x"} | members, AgentSpec).context_window == tokens


@pytest.mark.parametrize(
    ("members", "program"),
    [
        ({"use": "codex"}, ""),
        ({"use": "codex", "program": "/opt/codex"}, "/opt/codex"),
        ({"command": ["tool", "--yes"]}, "tool"),
        ({"command": [{"if": "model", "as": ["tool", "{model}"]}]}, "tool"),
        ({"command": ["tool"], "program": "other"}, "other"),
    ],
)
def test_the_program_that_a_specification_names(members: dict[str, Any], program: str) -> None:
    assert msgspec.convert({"id": "x", **members}, AgentSpec).named_program == program
