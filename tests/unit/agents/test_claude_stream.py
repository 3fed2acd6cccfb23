"""What was recorded of the real program, in two versions, and what may happen to it on the way."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.claude_code import ClaudeCode, ClaudeReader
from branchline.agents.supervise import checked
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.process.spawn import Exit
from recordings import lines, parse

RECORDED = Path(__file__).parents[2] / "fixtures" / "agents" / "claude_code"
AGENT = ClaudeCode(AgentSpec(id="claude_code", use="claude_code"))
DONE, FAILED = Exit(0, None, None, 1.0), Exit(1, None, None, 1.0)
NUMBER: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def asked(schema: dict[str, Any] | None = None) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="a", round=1, attempt=1, prompt="p", worktree="/w", folder="/a", output_schema=schema
    )


def stdout(name: str) -> bytes:
    return (RECORDED / f"{name}.stdout").read_bytes()


def recorded(name: str, schema: dict[str, Any] | None = None) -> AgentResult:
    facts = json.loads((RECORDED / f"{name}.json").read_text())
    ended = Exit(facts["code"], facts["signal"], facts["reason"], 1.0)
    result = parse(AGENT, asked(schema), ended, stdout(name), (RECORDED / f"{name}.stderr").read_bytes())
    return checked(result, asked(schema))


@pytest.mark.parametrize(
    ("name", "status", "error_class", "words"),
    [
        ("edit", AgentStatus.OK, "", ""),
        ("edit_330", AgentStatus.OK, "", ""),
        ("recovered", AgentStatus.OK, "", ""),
        ("denied", AgentStatus.OK, "", ""),
        ("auth", AgentStatus.MODEL_ERROR, "auth", "Invalid API key"),
        ("auth_330", AgentStatus.MODEL_ERROR, "auth", "Invalid API key"),
        ("no_key", AgentStatus.MODEL_ERROR, "auth", "Not logged in"),
        ("billing", AgentStatus.MODEL_ERROR, "billing", "Credit balance is too low"),
        ("rate_limit", AgentStatus.MODEL_ERROR, "rate_limit", "(429)"),
        ("server_error", AgentStatus.MODEL_ERROR, "server_error", "500"),
        ("overloaded", AgentStatus.MODEL_ERROR, "overloaded", "529"),
        ("overloaded_330", AgentStatus.MODEL_ERROR, "overloaded", "529"),
        ("unknown_model", AgentStatus.MODEL_ERROR, "unknown_model", "selected model"),
        ("context_too_large", AgentStatus.MODEL_ERROR, "context_too_large", "Prompt is too long"),
        ("bad_request", AgentStatus.MODEL_ERROR, "bad_request", "something is wrong"),
        ("connection", AgentStatus.MODEL_ERROR, "connection", "ConnectionRefused"),
        ("connection_330", AgentStatus.MODEL_ERROR, "connection", "ECONNREFUSED"),
        ("cut", AgentStatus.MODEL_ERROR, "connection", "malformed response"),
        ("bad_option", AgentStatus.MODEL_ERROR, "bad_request", "unknown option '--frobnicate'"),
        ("bad_option_330", AgentStatus.MODEL_ERROR, "bad_request", "unknown option '--frobnicate'"),
        ("max_turns", AgentStatus.LIMIT, "turns", "maximum number of turns (2)"),
        ("max_turns_330", AgentStatus.LIMIT, "turns", "maximum number of turns (2)"),
        ("budget", AgentStatus.LIMIT, "budget", "maximum budget ($0.05)"),
        ("budget_330", AgentStatus.LIMIT, "budget", "maximum budget ($0.05)"),
        ("max_output", AgentStatus.LIMIT, "", "output token maximum"),
        ("max_output_330", AgentStatus.LIMIT, "", "output token maximum"),
        ("refusal", AgentStatus.REFUSED, "", "safeguards flagged"),
        ("refusal_330", AgentStatus.REFUSED, "", "safeguards flagged"),
        ("timeout", AgentStatus.CRASHED, "", "without a result"),  # what the supervisor knows better
    ],
)
def test_what_the_program_printed(name: str, status: AgentStatus, error_class: str, words: str) -> None:
    result = recorded(name)
    assert (result.status, result.error_class) == (status, error_class)
    assert words in result.message


def test_an_edit_with_everything_it_tells() -> None:
    result = recorded("edit")
    assert (result.notes, result.model, result.denials) == ("Fixed the sum.", "claude-sonnet-4-5", ())
    assert len(result.session_id) == 36
    assert result.usage == Usage(
        input_tokens=1200 + (1300 + 1000 + 50) + 1400,
        output_tokens=40 + 60 + 12,
        cached_tokens=1000,
        cost_usd=0.013867499999999998,
        cost_source="agent",
    )


def test_the_live_line_while_it_runs() -> None:
    reader = ClaudeReader("/w")
    seen = []
    for line in lines(stdout("edit")):
        reader.line(line)
        seen.append(reader.progress)
    assert next(one.doing for one in seen if one.doing) == "Read src/calc.py"
    assert seen[-2].doing == "Edit src/calc.py"
    assert (seen[-2].files, seen[-2].tokens, seen[-2].cost_usd) == (("src/calc.py",), 4950, None)
    assert (seen[-1].tokens, seen[-1].cost_usd) == (5062, 0.013867499999999998)


def test_an_edit_that_was_denied_touched_no_file() -> None:
    reader = ClaudeReader("/w")
    for line in lines(stdout("denied_330")):
        reader.line(line)
    assert reader.progress.files == ()
    assert recorded("denied_330").denials == ("Write /elsewhere/outside.txt", "Write /d/repo/x.txt")


def test_after_the_result_nothing_is_counted() -> None:
    late = b'{"type":"assistant","message":{"id":"late","usage":{"input_tokens":1000}}}'
    assert parse(AGENT, asked(), DONE, stdout("edit") + late, b"").usage == recorded("edit").usage


def test_ended_on_the_way_its_input_is_known_and_its_output_is_not() -> None:
    assert recorded("timeout").usage == Usage(input_tokens=8641, cached_tokens=0)
    assert recorded("bad_option").usage == Usage()


@pytest.mark.parametrize("name", ["schema", "schema_330"])
def test_an_answer_by_the_schema(name: str) -> None:
    assert recorded(name, NUMBER).structured == {"n": 3}


def test_an_answer_that_is_in_the_text_counts_and_one_that_is_missing_does_not() -> None:
    assert recorded("schema_text", NUMBER).structured == {"n": 4}
    assert recorded("schema_missing", NUMBER).status is AgentStatus.INVALID_OUTPUT


@pytest.mark.parametrize("name", ["schema_retries", "schema_retries_330"])
def test_an_answer_that_never_fits_the_schema(name: str) -> None:
    result = recorded(name, NUMBER)
    assert result.status is AgentStatus.INVALID_OUTPUT
    assert "after 5 attempts" in result.message


def test_a_success_for_which_no_model_was_asked() -> None:
    result = parse(AGENT, asked(), DONE, stdout("not_asked_330"), b"")
    assert result.status is AgentStatus.INVALID_OUTPUT
    assert result.message == "/compact isn't available in this environment."
    wordless = b'{"type":"result","subtype":"success","num_turns":0,"result":""}'
    assert parse(AGENT, asked(), DONE, wordless, b"").message == "it did not ask the model"


def test_half_a_character_does_not_cost_the_result() -> None:
    assert rb"half \ud83d" in stdout("half_character")
    assert recorded("half_character").notes == "half \ufffd"


def test_the_last_words_of_one_that_broke() -> None:
    assert (
        parse(AGENT, asked(), FAILED, b"", b"477 | code\n\nerror: no bubblewrap\n at x\n\nBun\n").message
        == "no bubblewrap"
    )
    assert parse(AGENT, asked(), FAILED, b"", b"Segmentation fault\n").message == "Segmentation fault"


@pytest.mark.parametrize("name", ["edit", "auth_330"])
@pytest.mark.parametrize(("ended", "status"), [(DONE, AgentStatus.INVALID_OUTPUT), (FAILED, AgentStatus.CRASHED)])
def test_cut_off_at_any_byte_it_is_no_success(name: str, ended: Exit, status: AgentStatus) -> None:
    whole = stdout(name).rstrip(b"\n")
    *before, last = whole.split(b"\n")
    for line in (*before, last):
        for end in range(len(line)):
            assert parse(AGENT, asked(), ended, line[:end], b"").status is status
    reader = AGENT.reader(asked())
    for line in before:
        reader.line(line)
        assert reader.result(ended, b"").status is status


def test_lines_that_are_no_events_change_nothing() -> None:
    odd = [
        b"", b"\xff\xfe", b"null", b"[]", b'"text"', b'{"type": 7}', b"warning: odd", b'{"type":"ui_invalidate"}',
        b'{"type":"assistant","message":{"content":[{"type":"tool_use","input":' + b"[" * 100_000,
        b'{"type":"assistant","message":{"content":"text","usage":{"input_tokens":null}}}',
        b'{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"unknown"}]}}',
        b"x" * (1 << 20),
    ]  # fmt: skip
    mixed = b"\n".join(part for line in lines(stdout("edit")) for part in (*odd, line))
    assert parse(AGENT, asked(), DONE, mixed, b"") == recorded("edit")


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_no_bytes_break_the_reader(noise: list[bytes]) -> None:
    reader = ClaudeReader("/w")
    for line in noise:
        reader.line(line)
    assert reader.result(DONE, b"".join(noise)).status is not AgentStatus.OK


def test_a_target_is_one_short_line_without_control_characters() -> None:
    call = {"type": "tool_use", "name": "Bash", "input": {"command": "printf '\x1b[31m'\n" + "x" * 500}}
    reader = ClaudeReader("/w")
    reader.line(json.dumps({"type": "assistant", "message": {"content": [call]}}).encode())
    assert reader.progress.doing.startswith("Bash printf '' xxx")
    assert len(reader.progress.doing) == 200
