"""What an output means, by a specification: formats, errors, ends, numbers, bounds."""

import json
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.command import CommandAgent
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.process.spawn import Exit
from recordings import parse

DONE = Exit(0, None, None, 0.1)
FAILED = Exit(1, None, None, 0.1)
SCHEMA = {"type": "object"}
EVENTS: dict[str, Any] = {
    "format": "jsonl", "add": True, "message": "$[?type=text].text", "error": "$.error", "status": "$.code",
    "done": "$[?type=end].type", "session_id": "$.session", "model": "$.model", "structured": "$.answer",
    "doing": "$.tool", "target": "$.path", "input_tokens": "$.in", "output_tokens": "$.out", "cached_tokens": "$.cached",
    "cost_usd": "$.cost",
}  # fmt: skip


def agent(output: dict[str, Any] | None = None, **more: Any) -> CommandAgent:
    return CommandAgent(msgspec.convert({"id": "x", "command": ["x"], "output": output or {}, **more}, AgentSpec))


def request(schema: dict[str, Any] | None = None) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="w", round=1, attempt=1, prompt="", worktree="/w", folder="/f", output_schema=schema
    )


def read(stdout: bytes, ended: Exit = DONE, stderr: bytes = b"", *, made: CommandAgent | None = None) -> AgentResult:
    return parse(made or agent(), request(), ended, stdout, stderr)


def stream(*events: object) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


class TestText:
    def test_exit_codes_and_words_decide(self) -> None:
        made = agent(ok_codes=[0, 4], fail_if_stdout=["401 Unauthorized"])
        assert read(b"\xffall done\n", made=made).status is AgentStatus.OK
        assert read(b"", Exit(4, None, None, 0.1), made=made).status is AgentStatus.OK
        lying = read(b"fine\nerror: 401 Unauthorized\nbye\n", made=made)
        assert (lying.status, lying.message) == (AgentStatus.MODEL_ERROR, "it printed 'error: 401 Unauthorized'")
        assert lying.error_class == "auth"
        failed = read(b"out\n", FAILED, b"trace\n\x1b[31minvalid api key\x1b[0m\n", made=made)
        assert (failed.status, failed.message) == (AgentStatus.MODEL_ERROR, "exit code 1: invalid api key")
        assert failed.error_class == "auth"
        assert read(b"last words\n", FAILED).message == "exit code 1: last words"

    def test_out_of_turns(self) -> None:
        result = read(b"", Exit(53, None, None, 0.1), b"no more turns\n", made=agent(limit_codes=[53]))
        assert (result.status, result.error_class, result.message) == (AgentStatus.LIMIT, "turns", "no more turns")

    def test_notes_are_the_end_of_what_it_said(self) -> None:
        notes = read(b"x\n" * 9000 + b"the end").notes
        assert notes.endswith("x\nthe end")
        assert len(read("é".encode() * 900_000).notes) <= 1 << 20

    def test_an_answer_by_a_schema_is_not_cut(self) -> None:
        answer = json.dumps({"a": "x" * 100_000}).encode()
        assert parse(agent(), request(SCHEMA), DONE, answer, b"").notes == answer.decode()

    def test_values_by_patterns(self) -> None:
        output = {
            "input_tokens": r"^Tokens: (?P<value>[\d.,]+k?) sent", "output_tokens": r"sent, (?P<value>[\d.,]+k?) received",
            "cost_usd": r"\$(?P<value>[\d.]+)", "doing": r"^(?P<value>Applied .*)", "error": r"^(?P<value>.*Error: .*)",
            "session_id": r"^id (?P<value>\w+)", "model": r"^Model: (?P<value>\S+)?",
        }  # fmt: skip
        made = agent(output)
        reader = made.reader(request())
        for line in (b"Model:", b"id s1", b"Tokens: 2.2k sent, 1,042 received. Cost: $0.02", b"Applied edit to a.py"):
            reader.line(line)
        assert (reader.progress.doing, reader.progress.tokens) == ("Applied edit to a.py", 3242)
        result = reader.result(DONE, b"")
        assert result.usage == Usage(input_tokens=2200, output_tokens=1042, cost_usd=0.02, cost_source="agent")
        assert (result.session_id, result.model, result.status) == ("s1", "", AgentStatus.OK)
        failed = read(b"AuthenticationError: bad key\n", made=made)
        assert (failed.status, failed.message, failed.error_class) == (
            AgentStatus.MODEL_ERROR, "AuthenticationError: bad key", "auth",
        )  # fmt: skip

    def test_of_a_flood_the_end_is_read(self) -> None:
        reader = agent({"session_id": r"^id (?P<value>\w+)", "cost_usd": r"\$(?P<value>[\d.]+)"}).reader(request())
        began = time.process_time()
        for _ in range(1_000_000):
            reader.line(b"y")
        reader.line(b"id s9 $3")
        result = reader.result(DONE, b"")
        assert time.process_time() - began < 10
        assert (result.session_id, result.usage.cost_usd) == ("s9", 3)

    def test_a_slow_pattern_meets_no_long_line(self) -> None:
        made = agent({"error": "(?P<value>x)$"})
        assert read(b"a" * 5000 + b"x\n", made=made).status is AgentStatus.OK
        assert read(b"a" * 3000 + b"x\n", made=made).status is AgentStatus.MODEL_ERROR


class TestStream:
    def test_a_whole_one(self) -> None:
        events = (
            {"session": "s", "model": "m"}, {"tool": "edit", "path": "/w/src/a.py", "in": 10, "out": 1, "cost": 0.5},
            {"type": "text", "text": "done", "in": 20, "out": 2, "cached": 5, "cost": 0.25, "answer": {"a": 1}},
            {"type": "end"},
        )  # fmt: skip
        result = read(stream(*events), made=agent(EVENTS))
        assert result == AgentResult(
            status=AgentStatus.OK, notes="done", model="m", session_id="s", structured={"a": 1},
            usage=Usage(input_tokens=30, output_tokens=3, cached_tokens=5, cost_usd=0.75, cost_source="agent"),
        )  # fmt: skip

    def test_progress_while_it_runs(self) -> None:
        reader = agent(EVENTS).reader(request())
        assert reader.progress.tokens is None
        reader.line(b'{"tool": "edit", "path": "/w/src/a.py", "in": 10, "out": 1, "cost": 0.5}')
        progress = reader.progress
        assert (progress.doing, progress.tokens, progress.cost_usd) == ("edit src/a.py", 11, 0.5)

    def test_without_adding_the_last_number_counts(self) -> None:
        result = read(stream({"in": 10}, {"in": 20}, {"type": "end"}), made=agent({**EVENTS, "add": False}))
        assert result.usage.input_tokens == 20

    def test_no_cost_for_tokens_is_unknown(self) -> None:
        result = read(stream({"in": 10, "cost": 0}, {"type": "end"}), made=agent(EVENTS))
        assert (result.usage.cost_usd, result.usage.cost_source) == (None, "unknown")
        assert read(stream({"in": 0, "cost": 0}, {"type": "end"}), made=agent(EVENTS)).usage.cost_usd == 0

    @pytest.mark.parametrize("value", [-1, "x", True, None, [], float("nan"), {}])
    def test_numbers_that_are_none(self, value: object) -> None:
        assert read(stream({"in": value}, {"type": "end"}), made=agent(EVENTS)).usage == Usage()

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            ("no", "no"),
            ({"message": "m"}, "m"),
            ({"code": 3}, '{"code":3}'),
            (True, "true"),
            ({"message": ""}, '{"message":""}'),
        ],
    )
    def test_an_error_in_every_form(self, error: object, told: str) -> None:
        result = read(stream({"error": error}, {"type": "end"}), made=agent(EVENTS))
        assert (result.status, result.message) == (AgentStatus.MODEL_ERROR, told)

    @pytest.mark.parametrize("error", [None, False, ""])
    def test_no_error_in_every_form(self, error: object) -> None:
        assert read(stream({"error": error}, {"type": "end"}), made=agent(EVENTS)).status is AgentStatus.OK

    def test_an_error_that_passed_by_itself(self) -> None:
        events = ({"error": "503", "code": 503}, {"type": "text", "text": "now it works"}, {"type": "end"})
        assert read(stream(*events), made=agent(EVENTS)).status is AgentStatus.OK
        result = read(stream(*reversed(events)), made=agent(EVENTS))
        assert (result.status, result.error_class) == (AgentStatus.MODEL_ERROR, "overloaded")

    def test_the_status_of_an_error_says_its_class(self) -> None:
        result = read(stream({"error": "no", "code": 401}), made=agent(EVENTS))
        assert (result.error_class, result.retryable) == ("auth", False)

    def test_what_is_cut_off_or_no_stream_is_invalid(self) -> None:
        cut = read(stream({"type": "text", "text": "hi"}), made=agent(EVENTS))
        assert (cut.status, cut.message) == (AgentStatus.INVALID_OUTPUT, "its output was cut off before its end")
        none = read(b"hello\n[1]\n", made=agent(EVENTS))
        assert (none.status, none.message, none.notes) == (
            AgentStatus.INVALID_OUTPUT, "its output is not jsonl", "hello\n[1]",
        )  # fmt: skip

    def test_a_text_that_means_failure_counts_in_messages_and_beside_the_stream_alone(self) -> None:
        made = agent(EVENTS, fail_if_stdout=["[API Error"])
        harmless = stream({"tool": "read", "path": "[API Error"}, {"type": "end"})
        assert read(harmless, made=made).status is AgentStatus.OK
        said = stream({"type": "text", "text": "[API Error: 429]"}, {"type": "end"})
        assert read(said, made=made).error_class == "rate_limit"
        assert read(b"[API Error: 401\n" + harmless, made=made).error_class == "auth"

    def test_tools_that_it_was_not_given(self) -> None:
        events = ({"denied": [{"tool": "Bash"}, {"tool": "Bash"}]}, {"denied": [{"tool": "Web"}, {}]}, {"type": "end"})
        result = read(stream(*events), made=agent({**EVENTS, "denials": "$.denied.*.tool"}))
        assert (result.status, result.denials) == (AgentStatus.OK, ("Bash", "Web"))

    def test_pieces_are_joined_until_something_is_done(self) -> None:
        made = agent({**EVENTS, "join": True})
        pieces = [{"type": "text", "text": text} for text in ("I ", "look", '{"a":', "1}")]
        events = (*pieces[:2], {"tool": "read"}, *pieces[2:], {"type": "end"})
        assert read(stream(*events), made=made).notes == '{"a":1}'

    @given(st.binary(max_size=300), st.integers(min_value=0, max_value=400))
    def test_any_bytes_and_any_cut_give_a_result(self, noise: bytes, cut: int) -> None:
        whole = stream({"type": "text", "text": "é", "in": 1, "tool": ["x"], "path": {}}, {"type": "end"}) + noise
        for made in (agent(EVENTS), agent({**EVENTS, "format": "json"}), agent()):
            assert isinstance(read(whole[:cut], made=made), AgentResult)


class TestWholeJson:
    OUTPUT: dict[str, Any] = {
        "format": "json", "add": True, "message": "$[-1].result", "error": "$[-1].error",
        "input_tokens": "$.*.usage.in", "done": "$[?type=result].type",
    }  # fmt: skip

    def test_an_array_of_events(self) -> None:
        events = [{"usage": {"in": 3}}, {"usage": {"in": 4}}, {"type": "result", "result": "ok"}]
        result = read(json.dumps(events, indent=1).encode(), made=agent(self.OUTPUT))
        assert (result.status, result.notes, result.usage.input_tokens) == (AgentStatus.OK, "ok", 7)

    def test_words_before_it(self) -> None:
        data = b"Loading [1/2]\nwarning: {x}\n" + json.dumps([{"type": "result", "error": "500 oops"}]).encode()
        assert read(data, made=agent(self.OUTPUT)).error_class == "server_error"

    @pytest.mark.parametrize("data", [b"", b"hello", b'[{"type": "res', b"3", b"[" * 100_000])
    def test_what_is_not_json(self, data: bytes) -> None:
        result = read(data, made=agent(self.OUTPUT))
        assert (result.status, result.message) == (AgentStatus.INVALID_OUTPUT, "its output is not json")

    def test_a_flood_does_not_fill_our_memory(self) -> None:
        made = agent(self.OUTPUT)
        reader = made.reader(request())
        line = b"[" + b"1," * 500_000
        tracemalloc.start()
        for _ in range(60):
            reader.line(line)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40_000_000
        assert reader.result(DONE, b"").status is AgentStatus.INVALID_OUTPUT
