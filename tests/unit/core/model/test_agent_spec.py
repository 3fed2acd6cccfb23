from typing import Any

import msgspec
import pytest

from branchline.core.model.agent_spec import (
    AgentSpec,
    Group,
    Output,
    chain,
    file_problem,
    place_problem,
    spec_problems,
    unknown_placeholders,
)


def spec(**members: Any) -> AgentSpec:
    return msgspec.convert({"id": "x", "command": ["tool"]} | members, AgentSpec)


def test_a_placeholder_is_a_whole_argument() -> None:
    assert unknown_placeholders(["{prompt}", "{promt}", "x{promt}", "{}", "{model}"]) == ["{promt}"]


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


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"command": ["t", "{promt}"]}, "unknown placeholder {promt}"),
        ({"command": ["t", "{model}"]}, "no model is set"),
        ({"read_command": ["t", "{path}"]}, "{path} stands outside of a list"),
        ({"command": ["t", {"if": "model", "as": ["{path}"]}]}, "{path} stands outside of a list"),
        ({"command": ["t", {"as": ["x"]}]}, "not exactly one of"),
        ({"command": ["t", {"as": ["x"], "if": "model", "each": "context"}]}, "not exactly one of"),
        ({"output": {"cost_usd": "("}}, "output.cost_usd: the pattern '(' cannot be read"),
        ({"files": {"/etc/x": ""}}, "the file '/etc/x' is not inside"),
        ({"files": {"x": "a ${key}"}}, "the file 'x' would hold a variable's value"),
    ],
)
def test_what_makes_no_sense(members: dict[str, Any], problem: str) -> None:
    [(found, hint)] = spec_problems(spec(**members))
    assert problem in found
    assert hint


def test_an_agent_without_a_command() -> None:
    [(found, hint)] = spec_problems(AgentSpec(id="x"))
    assert (found, "use:" in hint) == ("it has no command", True)


def test_what_makes_sense() -> None:
    made = spec(
        command=["t", "{model}", {"each": "context.read", "as": ["{path}"]}, {"if": "model", "as": ["{model}"]}],
        model="m", files={"home/.t/settings.json": "{model}"}, output={"format": "jsonl", "error": "$[?a=b].c"},
    )  # fmt: skip
    assert list(spec_problems(made)) == []


@pytest.mark.parametrize("path", ["", "/", "a/", "../a", "a/../../b", "a/.", ".", "..", "a\0b", "stdout.log"])
def test_files_that_cannot_be_written(path: str) -> None:
    assert file_problem(path)


@pytest.mark.parametrize("path", ["a", "home/.config/x.json", "a/stdout.log", "..a"])
def test_files_that_can(path: str) -> None:
    assert file_problem(path) == ""


def test_a_place_is_a_pattern_in_text_and_a_path_in_json() -> None:
    assert place_problem("^Cost: (?P<value>.*)", "text") == place_problem("$.cost", "json") == ""
    assert place_problem("$.cost", "text")
    assert place_problem("^Cost: (?P<value>.*)", "jsonl")


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
