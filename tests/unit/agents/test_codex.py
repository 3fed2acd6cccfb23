import json
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.codex import Codex
from branchline.agents.supervise import checked
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Progress, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import InvalidInput
from branchline.process.spawn import Exit
from recordings import cases, parse, recording

CODEX = Codex(AgentSpec(id="codex", use="codex"))
DONE, FAILED = Exit(0, None, None, 0.1), Exit(1, None, None, 0.1)
REQUEST = AgentRequest(
    run_id="r", workstream="a", round=1, attempt=1, prompt="Mend it.", worktree="/w", folder="/f"
)  # fmt: skip
SCHEMA = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string"}}, "note": {"type": "string"}},
    "required": ["names"],
    "additionalProperties": False,
}
COMPLETED = {"type": "turn.completed", "usage": {"input_tokens": 5, "cached_input_tokens": 2, "output_tokens": 3}}


def codex(**spec: Any) -> Codex:
    return Codex(AgentSpec(id="codex", use="codex", **spec))


def asked(**changes: Any) -> AgentRequest:
    return msgspec.structs.replace(REQUEST, **changes)


def settings(argv: tuple[str, ...]) -> dict[str, Any]:
    """What the options `-c name=value` say."""
    pairs = [value.partition("=") for option, value in pairwise(argv) if option == "-c"]
    return {name: json.loads(value) for name, _, value in pairs}


def told(
    *events: dict[str, Any], request: AgentRequest = REQUEST, ended: Exit = DONE, stderr: bytes = b""
) -> AgentResult:
    stdout = b"".join(json.dumps(event).encode() + b"\n" for event in events)
    return parse(CODEX, request, ended, stdout, stderr)


def failed(message: str) -> dict[str, Any]:
    return {"type": "turn.failed", "error": {"message": message}}


def item(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": "item.completed", "item": {"id": "item_0", "type": kind, **members}}


# What is spawned


def test_an_edit() -> None:
    made = codex(model="gpt-5.5", args=("-c", "x=1")).prepare(REQUEST)
    assert made.argv[:7] == (
        *("codex", "exec", "--json", "--ephemeral", "--ignore-user-config", "--ignore-rules", "--skip-git-repo-check"),
    )
    assert made.argv[7:9] == ("--model", "gpt-5.5")
    assert settings(made.argv[:-3])["sandbox_mode"] == "workspace-write"
    assert made.argv[-3:] == ("-c", "x=1", "-")
    assert made.stdin == "Mend it."
    assert made.pass_env == ("OPENAI_API_KEY",)
    assert made.private_home
    assert made.files == {}


def test_nothing_calls_home_commits_or_reaches_out() -> None:
    said = settings(codex().prepare(REQUEST).argv)
    assert said["analytics.enabled"] is False
    assert said["check_for_update_on_startup"] is False
    assert said["approval_policy"] == "never"
    assert said["web_search"] == "disabled"
    assert said["features.plugins"] is said["features.apps"] is said["features.hooks"] is False
    assert said["sandbox_workspace_write.network_access"] is False
    assert said["sandbox_workspace_write.exclude_slash_tmp"] is True
    assert said["shell_environment_policy.ignore_default_excludes"] is False


@pytest.mark.parametrize(
    ("spec", "endpoint", "url"),
    [
        ({}, "", "https://api.openai.com/v1"),
        ({"base_url": "https://models.example/v1"}, "", "https://models.example/v1"),
        ({"base_url": "https://models.example/v1"}, "http://127.0.0.1:9/t", "http://127.0.0.1:9/t"),
    ],
)
def test_the_provider_is_one_of_our_own_with_a_key(spec: dict[str, Any], endpoint: str, url: str) -> None:
    agent = codex(key_env="MY_KEY", **spec)
    made = agent.prepare(asked(endpoint=endpoint))
    said = settings(made.argv)
    assert said["model_provider"] == "branchline"
    assert said["model_providers.branchline.base_url"] == url
    assert said["model_providers.branchline.env_key"] == "MY_KEY"
    assert said["model_providers.branchline.wire_api"] == "responses"
    assert made.pass_env == ("MY_KEY",)
    assert agent.provider == spec.get("base_url", "https://api.openai.com/v1")


def test_variables_of_its_own_are_filled_in() -> None:
    made = codex(env={"A": "${env:OURS}", "B": "{worktree}/x"}, pass_env=("C",)).prepare(REQUEST)
    assert (made.env, made.rename_env, made.pass_env) == ({"B": "/w/x"}, {"A": "OURS"}, ("OPENAI_API_KEY", "C"))


def test_the_users_home_is_their_login() -> None:
    agent = codex(home="user")
    made = agent.prepare(REQUEST)
    assert not made.private_home
    assert "CODEX_HOME" in made.pass_env
    assert "model_provider" not in settings(made.argv)
    assert agent.provider == ""
    behind_a_proxy = settings(agent.prepare(asked(endpoint="http://127.0.0.1:9")).argv)
    assert behind_a_proxy["model_providers.branchline.requires_openai_auth"] is True
    assert "model_providers.branchline.env_key" not in behind_a_proxy


def test_reading_by_a_schema() -> None:
    made = CODEX.prepare(asked(mode="read", output_schema=SCHEMA))
    assert made.argv[made.argv.index("--sandbox") + 1] == "read-only"
    assert made.argv[made.argv.index("--output-schema") + 1] == "/f/schema.json"
    assert json.loads(made.files["schema.json"]) == SCHEMA


def test_a_prompt_of_any_characters_is_valid_text() -> None:
    made = CODEX.prepare(asked(prompt="na\udcffme \ud800 é"))
    assert made.stdin == "na?me ? é"


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_refused(prompt: str) -> None:
    with pytest.raises(InvalidInput, match="agent codex: the prompt of a is empty"):
        CODEX.prepare(asked(prompt=prompt))


def program(folder: Path, version: str, trial: int = 0) -> str:
    path = folder / "codex"
    path.write_text(f'#!/bin/sh\ntest "$1" = sandbox && exit {trial}\necho codex-cli {version}\n')
    path.chmod(0o755)
    return str(path)


def test_probe(tmp_path: Path) -> None:
    agent = codex(program=program(tmp_path, "0.169.0"), key_env="BRANCHLINE_NO_SUCH_KEY")
    probe = agent.probe()
    assert (probe.available, probe.version, probe.tested) == (True, "0.169.0", True)
    assert probe.hint == "export BRANCHLINE_NO_SUCH_KEY=..."
    assert codex(program=agent.spec.program, home="user").probe().hint == ""


def test_probe_tries_the_sandbox(tmp_path: Path) -> None:
    probe = codex(program=program(tmp_path, "0.169.0", trial=1)).probe()
    assert (probe.available, probe.hint) == (True, "codex sandbox -- true")


def test_probe_tells_a_version_that_is_not_tested(tmp_path: Path) -> None:
    probe = codex(program=program(tmp_path, "0.40.0")).probe()
    assert (probe.tested, probe.hint) == (False, "npm install -g @openai/codex@0.169.0")


# What is read


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ("edit", AgentStatus.OK, ""),
        ("file_change", AgentStatus.OK, ""),
        ("denied", AgentStatus.OK, ""),  # that nothing changed is for git to say
        ("read_only", AgentStatus.OK, ""),
        ("auth", AgentStatus.MODEL_ERROR, "auth"),
        ("no_key", AgentStatus.MODEL_ERROR, "auth"),
        ("bad_request", AgentStatus.MODEL_ERROR, "bad_request"),
        ("rate_limit", AgentStatus.MODEL_ERROR, "rate_limit"),
        ("server_error", AgentStatus.MODEL_ERROR, "overloaded"),
        ("connection", AgentStatus.MODEL_ERROR, "connection"),
        ("too_large", AgentStatus.MODEL_ERROR, "context_too_large"),
    ],
)
def test_recorded_runs(case: str, status: AgentStatus, kind: str) -> None:
    result = recording("codex", case).parsed_by(CODEX)
    assert (result.status, result.error_class) == (status, kind)
    assert (result.message == "") == (status is AgentStatus.OK)


def test_a_recorded_edit_in_full() -> None:
    result = recording("codex", "edit").parsed_by(codex(model="gpt-5.5"))
    assert result.notes == "Fixed the sum."
    assert result.usage == Usage(input_tokens=3900, output_tokens=112, cached_tokens=0)
    assert (result.usage.cost_usd, result.usage.cost_source) == (None, "unknown")
    assert result.session_id == "01a204ff-a89b-7011-b9d6-16eb76d77a56"
    assert result.model == "gpt-5.5"


def test_progress_is_told_while_it_runs() -> None:
    reader = CODEX.reader(REQUEST)
    seen = []
    for line in recording("codex", "file_change").stdout.splitlines():
        reader.line(line)
        seen.append(reader.progress)
    assert seen[1] == Progress()
    assert seen[2] == Progress(doing="edit src/calc.py", files=("src/calc.py",))
    assert seen[-1].tokens == 10219 + 102


@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("schema", AgentStatus.OK),
        ("schema_missing", AgentStatus.INVALID_OUTPUT),
        ("schema_wrong", AgentStatus.INVALID_OUTPUT),
    ],
)
def test_recorded_answers_by_a_schema(case: str, status: AgentStatus) -> None:
    played = recording("codex", case)
    result = checked(played.parsed_by(CODEX), played.request)
    assert result.status is status
    assert (result.structured == {"workstreams": ["one", "two"]}) == (status is AgentStatus.OK)


def test_an_answer_longer_than_the_notes_is_read_whole() -> None:
    answer = {"names": ["n" * 1000] * 200}
    result = told(item("agent_message", text=json.dumps(answer)), COMPLETED)
    assert checked(result, asked(output_schema=SCHEMA)).structured == answer


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("unexpected status 404 Not Found: nothing here, url: http://h/v1", AgentStatus.MODEL_ERROR, "unknown_model"),
        ("unexpected status 402 Payment Required: x", AgentStatus.MODEL_ERROR, "billing"),
        ("Missing environment variable: `TEAM_TOKEN`.", AgentStatus.MODEL_ERROR, "auth"),
        ("You've hit your usage limit. Try again in 3 days.", AgentStatus.MODEL_ERROR, "billing"),
        ("Codex ran out of room in the model's context window.", AgentStatus.MODEL_ERROR, "context_too_large"),
        ('{"error": {"code": "model_not_found", "message": "no"}}', AgentStatus.MODEL_ERROR, "unknown_model"),
        ("This request has been flagged for possible cybersecurity risk", AgentStatus.REFUSED, ""),
        ("something new", AgentStatus.MODEL_ERROR, ""),
    ],
)
def test_errors_of_the_turn(message: str, status: AgentStatus, kind: str) -> None:
    result = told(failed(message), ended=FAILED)
    assert (result.status, result.error_class) == (status, kind)
    assert result.message


def test_a_declined_command_is_a_denial() -> None:
    result = told(item("command_execution", command="rm -rf /", status="declined"), COMPLETED)
    assert result.denials == ("run rm -rf /",)


@pytest.mark.parametrize("code", [0, 1])
def test_a_stream_without_an_end_is_no_success(code: int) -> None:
    status = AgentStatus.CRASHED if code else AgentStatus.INVALID_OUTPUT
    result = told(item("agent_message", text="Done."), ended=Exit(code, None, None, 0.1), stderr=b"a\nlast words\n")
    assert result.status is status
    assert result.notes == "Done."
    assert result.message == ("last words" if code else "its stream ends without a result")


def test_a_retry_that_worked_is_no_error() -> None:
    result = told({"type": "error", "message": "Reconnecting... 1/3 (401)"}, COMPLETED)
    assert (result.status, result.message) == (AgentStatus.OK, "")


@pytest.mark.parametrize("case", ["edit", "auth", "schema"])
def test_cut_off_anywhere_it_never_succeeded(case: str) -> None:
    played = recording("codex", case)
    for ended in (DONE, FAILED):
        for length, result in zip(count(), played.cut_off(CODEX, ended), strict=False):
            assert result.status is not AgentStatus.OK, length
            assert result.message, length


def test_every_recording_is_read_here() -> None:
    read = {"edit", "file_change", "denied", "read_only", "auth", "no_key", "bad_request", "rate_limit", "too_large"}
    read |= {"server_error", "connection", "schema", "schema_missing", "schema_wrong"}
    assert read <= set(cases("codex"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["type", "item", "error", "usage", "message", "text", "changes", "path", "status", "input_tokens", "thread_id"]
    ), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from(["thread.started", "item.completed", "error", "turn.failed", "turn.completed", "new.kind"])
ITEMS = st.sampled_from(["agent_message", "command_execution", "file_change", "mcp_tool_call", "error", "new"])


@given(st.lists(st.fixed_dictionaries({"type": KINDS, "item": VALUES, "error": VALUES, "usage": VALUES}), max_size=4))
def test_events_of_any_shape_are_read(events: list[dict[str, Any]]) -> None:
    msgspec.json.encode(told(*events))


@given(ITEMS, VALUES, VALUES)
def test_items_of_any_shape_are_read(kind: str, changes: Any, text: Any) -> None:
    msgspec.json.encode(told(item(kind, changes=changes, text=text, command=text, status=text), COMPLETED))


@given(st.lists(st.binary(max_size=30), max_size=4))
def test_bytes_of_any_kind_are_read(lines: list[bytes]) -> None:
    result = parse(CODEX, REQUEST, DONE, b"\n".join(lines), b"")
    assert result.status is AgentStatus.INVALID_OUTPUT


def test_tokens_that_are_no_numbers_are_unknown() -> None:
    odd = {"type": "turn.completed", "usage": {"input_tokens": True, "output_tokens": -1, "cached_input_tokens": 1e99}}
    assert told(odd).usage == Usage()


def test_control_sequences_reach_no_terminal() -> None:
    result = told(item("agent_message", text="\x1b[2Jhello"), failed("\x1b]0;title\x07no"), ended=FAILED)
    assert (result.notes, result.message) == ("hello", "no")


def test_a_flood_is_kept_within_bounds() -> None:
    long = "x" * 1_000_000
    changes = [{"path": f"/w/{number}"} for number in range(5000)]
    flood = [item("command_execution", command=f"{number} {long}", status="declined") for number in range(3)]
    flood += [item("command_execution", command=str(number), status="declined") for number in range(2000)]
    reader = CODEX.reader(REQUEST)
    for event in (
        *flood,
        item("file_change", changes=[*changes, {"path": long}]),
        item("file_change", changes=changes),
    ):
        reader.line(json.dumps(event).encode())
    result = reader.result(FAILED, b"")
    assert (len(reader.progress.doing), len(reader.progress.files), len(result.denials)) == (200, 1000, 1000)
    assert max(map(len, result.denials)) == 200
