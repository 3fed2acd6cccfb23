"""What is wrong with agents in a configuration, and where."""

from pathlib import Path

import pytest

from branchline.config.document import Finding, InvalidFile
from branchline.config.load import load_settings
from branchline.config.settings import Settings


def load(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "branchline.yaml"
    path.write_text("version: 1\n" + text)
    return load_settings(path, root=tmp_path)


def problems(tmp_path: Path, text: str) -> list[Finding]:
    with pytest.raises(InvalidFile) as caught:
        load(tmp_path, text)
    return caught.value.problems


def complaints(tmp_path: Path, *agents: str) -> list[str]:
    found = problems(tmp_path, "agents:\n" + "".join(f"  - {agent}\n" for agent in agents))
    return [problem.message for problem in found]


def test_positions_and_suggestions(tmp_path: Path) -> None:
    text = """\
agent: codx
agents:
  - {id: codex, command: [codex, "{promt}", "a {x} b"], stdin: "{prompt}"}
  - {id: codex, command: [codex, "{model}"], home: usr, stdin: "{worktree}"}
"""
    found = problems(tmp_path, text)
    assert [(*problem.place, problem.message) for problem in found] == [
        (2, 8, "there is no agent 'codx'"),
        (4, 34, "{promt} is not a placeholder"),
        (5, 10, "the agent id 'codex' is used twice"),
        (5, 34, "agent 'codex' has {model} in its command but no model"),
        (5, 52, "'agents[1].home' must be 'private' or 'user', not 'usr'"),
        (5, 64, "'agents[1].stdin' must be '' or '{prompt}', not '{worktree}'"),
    ]
    assert (found[0].hint, found[1].hint) == ("did you mean 'codex'?", "did you mean '{prompt}'?")


def test_use_or_command(tmp_path: Path) -> None:
    assert complaints(tmp_path, "{id: a}", "{id: b, use: codex, command: [x]}") == [
        "agent 'a' has neither use nor command",
        "agent 'b' has both use and command",
    ]


@pytest.mark.parametrize(
    "agent",
    [
        "{id: codex, use: codex, model: m}",
        "{id: gemini, use: gemini, command: [gemini, --approval-mode, auto_edit]}",
        "{id: x, command: [x, {each: context.edit, as: [-f, '{path}']}, {if: model, as: ['{model}']}]}",
        "{id: x, command: [x], output: {format: jsonl, message: '$[?type=a].b[-1]'}, files: {home/.x: '{model}'}}",
        "{id: x, use: scripted, scripts: [[], [{answer: {a: 1}}, hang]]}",
    ],
)
def test_what_must_be_taken(tmp_path: Path, agent: str) -> None:
    assert len(load(tmp_path, f"agents:\n  - {agent}\n").agents) == 1


@pytest.mark.parametrize(
    ("agent", "complaint"),
    [
        ("{id: x, command: [x, {as: [a]}]}", "this part of command has not exactly one of 'each' and 'if'"),
        ("{id: x, command: [x, {if: model, each: context, as: [a]}]}", "this part of command has not exactly one"),
        ("{id: x, command: [x], read_command: ['{path}']}", "{path} stands outside of a list"),
        ("{id: x, command: [x, {if: model, as: ['{path}']}]}", "{path} stands outside of a list"),
        ("{id: x, command: [x, {if: model, as: ['{modle}']}]}", "{modle} is not a placeholder"),
        ("{id: x, command: [x], output: {error: '$.cost'}}", "the pattern '$.cost' has no group named value"),
        (
            "{id: x, command: [x], output: {format: jsonl, error: '(?P<value>.*)'}}",
            "the JSON path '(?P<value>.*)' does",
        ),
        ("{id: x, command: [x], output: {error: '(?P<value>'}}", "the pattern '(?P<value>' cannot be read"),
        ("{id: x, command: [x], output: {error: 'Error'}}", "the pattern 'Error' has no group named value"),
        ("{id: x, command: [x], output: {format: json, error: 'a.b'}}", "the JSON path 'a.b' does not begin with $"),
        (
            "{id: x, command: [x], output: {format: json, error: '$.a['}}",
            "the JSON path '$.a[' cannot be read from '['",
        ),
        ("{id: x, command: [x], fail_if_stdout: ['']}", "a text of 'fail_if_stdout' stands in one line"),
        ("{id: x, command: [x], files: {../x: ''}}", "the file '../x' is not inside the attempt's folder"),
        ("{id: x, command: [x], files: {result.json: ''}}", "the file 'result.json' is Branchline's own"),
        ("{id: x, command: [x], files: {a: '${env:KEY}'}}", "the file 'a' would hold a variable's value"),
        ("{id: x, use: codx}", "there is no adapter 'codx'"),
        ("{id: x, command: [x], env: {MY_API_KEY: sk-123}}", "'MY_API_KEY' looks like a secret"),
        ("{id: x, use: codex, scripts: [[]]}", "agent 'x' has scripts but does not use: scripted"),
        ("{id: x, command: [x], tested: ['1']}", "'tested' is the first and the last version"),
        ("{id: x, command: [x, {if: nothing, as: [a]}]}", "'agents[0].command[1].if' must be"),
    ],
)
def test_what_must_not(tmp_path: Path, agent: str, complaint: str) -> None:
    [found] = complaints(tmp_path, agent)
    assert found.startswith(complaint)


@pytest.mark.parametrize("path", ["", "/", "a/", "../a", "a/../../b", "a/.", ".", "..", '"a\\0b"', "stdout.log"])
def test_files_that_cannot_be_written(tmp_path: Path, path: str) -> None:
    path = path or "''"
    [found] = complaints(tmp_path, f"{{id: x, command: [x], files: {{{path}: ''}}}}")
    assert found.startswith("the file ")


@pytest.mark.parametrize("path", ["a", "home/.config/x.json", "a/stdout.log", "..a"])
def test_files_that_can(tmp_path: Path, path: str) -> None:
    assert load(tmp_path, f"agents:\n  - {{id: x, command: [x], files: {{{path}: ''}}}}\n").agents


def test_every_agent_that_is_named_exists(tmp_path: Path) -> None:
    text = """\
agent: a1
planning: {agent: a2}
review: {agent: a3}
repair: {takeover: a4}
agents:
  - {id: mine, use: codex, fallback: [aider, a5]}
"""
    assert [problem.message for problem in problems(tmp_path, text)] == [
        f"there is no agent 'a{n}'" for n in range(1, 6)
    ]
    assert load(tmp_path, "planning: {agent: ''}\nreview: {agent: gemini}\n").review.agent == "gemini"


def test_agents_that_fall_back_to_each_other(tmp_path: Path) -> None:
    found = complaints(
        tmp_path, "{id: a, use: codex, fallback: [aider, b]}", "{id: b, use: aider, fallback: [a]}",
        "{id: c, use: aider, fallback: [a]}",
    )  # fmt: skip
    assert found == ["the agents fall back to each other: a -> b -> a"]
    assert "a -> a" in complaints(tmp_path, "{id: a, use: codex, fallback: [a]}")[0]
