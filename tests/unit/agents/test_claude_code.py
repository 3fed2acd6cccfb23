import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.agents.base import Agent
from branchline.agents.claude_code import ENVIRONMENT, KEYS, MENTIONED, ClaudeCode
from branchline.core.model.agent import AgentRequest, ContextFile, Invocation, Limits
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.manifest import Span
from branchline.errors import InvalidInput


def agent(**settings: Any) -> ClaudeCode:
    return ClaudeCode(AgentSpec(id="claude_code", use="claude_code", **settings))


def request(**members: Any) -> AgentRequest:
    plain: dict[str, Any] = {"run_id": "r", "workstream": "a", "round": 1, "attempt": 1, "prompt": "Do."}
    return AgentRequest(**(plain | {"worktree": "/w", "folder": "/a"} | members))


def after(invocation: Invocation, option: str) -> str:
    return invocation.argv[invocation.argv.index(option) + 1]


def test_it_is_an_agent() -> None:
    one: Agent = agent()
    assert one.abilities == {"edit", "read", "schema", "turns", "budget", "usage", "cost", "stream", "endpoint"}


def test_an_edit() -> None:
    assert agent().prepare(request()) == Invocation(
        argv=(
            *("claude", "-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence"),
            *("--safe-mode", "--setting-sources", "user", "--tools", "Read,Glob,Grep,Edit,Write,Bash"),
            *("--allowedTools", "Bash", "--permission-mode", "acceptEdits"),
        ),
        env={**ENVIRONMENT, "CLAUDE_CODE_TMPDIR": "/a/claude"},
        pass_env=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_BASE_URL"),
        stdin="Do.",
    )


def test_reading_by_a_schema_within_limits() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"format": {"type": "string", "format": "uri"}, "all": {"items": [{"format": "date"}]}},
    }
    asked = request(mode="read", output_schema=schema, limits=Limits(usd=0.5, turns=7))
    invocation = agent(model="opus", args=("--effort", "low")).prepare(asked)
    assert (after(invocation, "--tools"), after(invocation, "--permission-mode")) == ("Read,Glob,Grep", "dontAsk")
    assert "--allowedTools" not in invocation.argv
    assert (after(invocation, "--max-turns"), after(invocation, "--max-budget-usd")) == ("7", "0.500000")
    assert after(invocation, "--model") == "opus"
    assert invocation.argv[-2:] == ("--effort", "low")
    assert json.loads(after(invocation, "--json-schema")) == {
        "type": "object",
        "properties": {"format": {"type": "string"}, "all": {"items": [{}]}},
    }


def test_an_endpoint_counts_before_the_address_in_the_configuration_and_that_before_the_environment() -> None:
    here = agent(base_url="http://gateway").prepare(request(endpoint="http://proxy"))
    assert here.env["ANTHROPIC_BASE_URL"] == "http://proxy"
    named = agent(env={"ANTHROPIC_BASE_URL": "http://gateway"}).prepare(request(endpoint="http://proxy"))
    assert named.env["ANTHROPIC_BASE_URL"] == "http://proxy"
    there = agent(base_url="http://gateway").prepare(request())
    assert there.env["ANTHROPIC_BASE_URL"] == "http://gateway"
    assert "ANTHROPIC_BASE_URL" not in there.pass_env


def test_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    assert agent().provider == "https://api.anthropic.com"
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://gateway")
    assert agent().provider == "http://gateway"
    assert agent(base_url="http://other").provider == "http://other"


def test_a_key_of_another_name_is_the_only_one() -> None:
    invocation = agent(key_env="TEAM_KEY", pass_env=("HTTPS_PROXY",)).prepare(request())
    assert invocation.rename_env == {"ANTHROPIC_API_KEY": "TEAM_KEY"}
    assert invocation.pass_env == ("ANTHROPIC_BASE_URL", "HTTPS_PROXY")


def test_with_the_users_login_no_key_is_passed_that_would_be_billed_instead() -> None:
    invocation = agent(home="user").prepare(request())
    assert not invocation.private_home
    assert invocation.pass_env == ("CLAUDE_CONFIG_DIR", "ANTHROPIC_BASE_URL")


def test_what_the_configuration_says_counts_last() -> None:
    invocation = agent(env={"CLAUDE_CODE_MAX_RETRIES": "0"}, program="/opt/claude", grace="5s").prepare(request())
    assert (invocation.env["CLAUDE_CODE_MAX_RETRIES"], invocation.argv[0], invocation.grace) == (
        "0",
        "/opt/claude",
        5.0,
    )


def test_the_context_is_mentioned_so_that_it_is_read_first() -> None:
    paths = ("src/a.py", "with space.md", 'quo"te', "new\nline", "\udcff", "-x", "@y")
    context = (*(ContextFile(path=path) for path in paths), ContextFile(path="é.py", role="edit"))
    assert agent().prepare(request(context=context)).stdin == 'Do.\n\n@"src/a.py" @"with space.md" @"-x" @"é.py"'


def test_of_a_file_in_parts_the_parts_are_mentioned_that_are_more_than_a_head() -> None:
    spans = (Span(start=3, end=3), Span(start=10, end=30, name="go"), Span(start=50, end=53))
    part = ContextFile(path="src/a.py", form="excerpt", spans=spans, tokens=90_000)
    sketch = msgspec.structs.replace(part, path="src/b.py", form="outline")
    stdin = agent().prepare(request(context=(part, sketch))).stdin
    assert stdin == 'Do.\n\n@"src/a.py#L10-30" @"src/a.py#L50-53"'


def test_no_more_is_mentioned_than_every_turn_can_pay_for() -> None:
    sizes = {"first.py": MENTIONED - 10, "large.py": 5000, "small.py": 10, "last.py": 1}
    context = tuple(ContextFile(path=path, tokens=tokens) for path, tokens in sizes.items())
    assert agent().prepare(request(context=context)).stdin == 'Do.\n\n@"first.py" @"small.py"'
    assert agent().prepare(request(context=(ContextFile(path="a.py", form="outline"),))).stdin == "Do."


def test_a_prompt_is_never_a_command_of_its_own() -> None:
    assert agent().prepare(request(prompt="/compact")).stdin == "\n/compact"


@pytest.mark.parametrize("prompt", ["", " \n\t"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(InvalidInput, match="the prompt of a is empty"):
        agent().prepare(request(prompt=prompt))


def test_a_prompt_of_a_megabyte_is_no_argument() -> None:
    invocation = agent().prepare(request(prompt="word " * 210_000))
    assert sum(map(len, invocation.argv)) < 1000


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def program(folder: Path, version: str) -> str:
    path = folder / "claude"
    path.write_text(f"#!/bin/sh\necho '{version} (Claude Code)'\n")
    path.chmod(0o755)
    return str(path)


def test_a_program_that_is_not_installed(tmp_path: Path) -> None:
    probe = agent(program=str(tmp_path / "none")).probe()
    assert (probe.available, probe.hint) == (False, "npm install -g @anthropic-ai/claude-code")


@pytest.mark.usefixtures("no_keys")
@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({}, "export ANTHROPIC_API_KEY=..."),
        ({"key_env": "TEAM_KEY"}, "export TEAM_KEY=..."),
        ({"home": "user"}, ""),
        ({"env": {"ANTHROPIC_AUTH_TOKEN": "x"}}, ""),
    ],
)
def test_what_is_missing_besides_the_program(tmp_path: Path, settings: dict[str, Any], hint: str) -> None:
    probe = agent(program=program(tmp_path, "2.1.200"), **settings).probe()
    assert (probe.available, probe.version, probe.tested, probe.hint) == (True, "2.1.200", True, hint)


@pytest.mark.parametrize("version", ["1.0.9", "2.1.196", "2.2.0"])
def test_a_version_that_was_not_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    probe = agent(program=program(tmp_path, version)).probe()
    assert (probe.available, probe.tested) == (True, False)
    assert probe.hint == "npm install -g @anthropic-ai/claude-code"
