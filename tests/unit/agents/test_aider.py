import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.aider import Aider, provider_of
from branchline.agents.supervise import checked
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, ContextFile, Progress, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.manifest import Span
from branchline.errors import InvalidInput
from branchline.process.spawn import Exit
from recordings import parse, recording

DONE, FAILED = Exit(0, None, None, 0.1), Exit(1, None, None, 0.1)
REQUEST = AgentRequest(
    run_id="r",
    workstream="a",
    round=1,
    attempt=1,
    prompt="Mend it.",
    worktree="/w",
    folder="/f",
    context=(ContextFile(path="a b.py", role="edit"), ContextFile(path="-notes\udcff")),
)


def aider(**spec: Any) -> Aider:
    return Aider(AgentSpec(id="aider", use="aider", **{"model": "openai/scripted", **spec}))


AIDER = aider()


def asked(**changes: Any) -> AgentRequest:
    return msgspec.structs.replace(REQUEST, **changes)


def told(*lines: str, ended: Exit = DONE, stderr: bytes = b"") -> AgentResult:
    return parse(AIDER, REQUEST, ended, "\n".join(lines).encode(), stderr)


# What is spawned


def test_an_edit() -> None:
    made = AIDER.prepare(REQUEST)
    assert made.argv[0] == "aider"
    assert "--model=openai/scripted" in made.argv
    assert "--message-file=/f/aider/message.md" in made.argv
    assert made.argv[-2:] == ("--file=/w/a b.py", "--read=/w/-notes\udcff")
    assert made.pass_env == ("OPENAI_API_KEY",)
    assert made.stdin is None
    assert made.env["COLUMNS"] == "1000000"  # or a long path would be broken in two
    assert made.private_home


def test_it_commits_nothing_and_leaves_nothing_in_the_worktree() -> None:
    argv = AIDER.prepare(REQUEST).argv
    assert {"--no-auto-commits", "--no-dirty-commits", "--no-gitignore", "--map-tokens=0"} <= set(argv)
    own = [part for part in argv if "history" in part and "=/" in part]
    assert len(own) == 3
    assert all("=/f/aider/" in part for part in own)


def test_git_knows_a_name_so_that_it_writes_none_into_the_repository() -> None:
    assert "name = aider" in AIDER.prepare(REQUEST).files["home/.gitconfig"]


def test_it_calls_nobody_but_the_model() -> None:
    made = AIDER.prepare(REQUEST)
    assert {"--analytics-disable", "--no-check-update", "--no-detect-urls"} <= set(made.argv)
    assert made.env["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert made.env["BROWSER"] == "true"
    prices = made.files["home/.aider/caches/model_prices_and_context_window.json"]
    assert json.loads(prices)  # an empty one would be fetched


def test_it_runs_no_command_of_the_repository() -> None:
    argv = AIDER.prepare(REQUEST).argv
    assert {"--no-auto-lint", "--no-auto-test", "--no-suggest-shell-commands", "--load=/dev/null"} <= set(argv)


def test_reading_gives_no_file_to_edit() -> None:
    argv = AIDER.prepare(asked(mode="read")).argv
    assert "--edit-format=ask" in argv
    assert "--dry-run" in argv
    assert argv[-2:] == ("--read=/w/a b.py", "--read=/w/-notes\udcff")


def test_no_more_files_than_its_window_holds_and_none_for_an_outline() -> None:
    span = (Span(start=1, end=2),)
    context = (
        ContextFile(path="large.py", role="edit", form="excerpt", spans=span, tokens=60_000),
        ContextFile(path="sketched.py", form="outline", spans=span, tokens=10),
        ContextFile(path="too_much.py", role="edit", tokens=30_000),
        ContextFile(path="fits.py", tokens=20_000),
    )
    assert AIDER.prepare(asked(context=context)).argv[-2:] == ("--file=/w/large.py", "--read=/w/fits.py")
    small = aider(window=25_000).prepare(asked(context=context)).argv
    assert [part for part in small if "=/w/" in part] == ["--read=/w/fits.py"]
    assert "--file=/w/too_much.py" in aider(window=30_000).prepare(asked(context=context)).argv


@pytest.mark.parametrize("prompt", ["/run rm -rf .", "!rm -rf .", "/add /etc/passwd"])
def test_a_prompt_is_never_one_of_its_commands(prompt: str) -> None:
    message = AIDER.prepare(asked(prompt=prompt)).files["aider/message.md"]
    assert message[0] not in "/!"
    assert message.strip() == prompt


def test_a_prompt_of_any_characters_is_valid_text() -> None:
    assert AIDER.prepare(asked(prompt="na\udcffme")).files["aider/message.md"] == "\nna?me"


@pytest.mark.parametrize(
    ("spec", "endpoint", "url"),
    [
        ({}, "", "https://api.openai.com/v1"),
        ({"base_url": "https://models.example/v1"}, "", "https://models.example/v1"),
        ({"base_url": "https://models.example/v1"}, "http://127.0.0.1:9/t", "http://127.0.0.1:9/t"),
        ({"model": "sonnet"}, "", "https://api.anthropic.com"),
    ],
)
def test_the_address_of_the_model_is_ours_to_say(spec: dict[str, Any], endpoint: str, url: str) -> None:
    made = aider(**spec).prepare(asked(endpoint=endpoint))
    assert "--model-settings-file=/f/aider/models.json" in made.argv
    (always,) = json.loads(made.files["aider/models.json"])
    assert always == {"name": "aider/extra_params", "extra_params": {"api_base": url, "base_url": url}}
    assert made.env["PYTHON_DOTENV_DISABLED"] == "1"


def test_where_the_provider_is_unknown_it_has_its_own_address() -> None:
    agent = aider(model="groq/llama")
    assert agent.provider == ""
    assert json.loads(agent.prepare(REQUEST).files["aider/models.json"])[0]["extra_params"] == {}


@pytest.mark.parametrize(
    ("model", "provider", "key"),
    [
        ("openai/x", "openai", "OPENAI_API_KEY"),
        ("gpt-5", "openai", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "anthropic", "ANTHROPIC_API_KEY"),
        ("claude-sonnet-4-5", "anthropic", "ANTHROPIC_API_KEY"),
        ("opus", "anthropic", "ANTHROPIC_API_KEY"),
        ("deepseek", "deepseek", "DEEPSEEK_API_KEY"),
        ("gemini/gemini-2.5-pro", "gemini", "GEMINI_API_KEY"),
        ("openrouter/openai/gpt-5", "openrouter", "OPENROUTER_API_KEY"),
        ("groq/llama", "groq", "GROQ_API_KEY"),
    ],
)
def test_only_the_key_of_the_models_provider_is_passed(model: str, provider: str, key: str) -> None:
    assert provider_of(model) == provider
    assert aider(model=model).prepare(REQUEST).pass_env == (key,)


def test_a_key_of_another_name_is_renamed() -> None:
    assert aider(key_env="MY_KEY").prepare(REQUEST).rename_env == {"OPENAI_API_KEY": "MY_KEY"}
    assert aider(key_env="OPENAI_API_KEY").prepare(REQUEST).rename_env == {}


def test_variables_of_its_own_are_filled_in() -> None:
    made = aider(env={"A": "${env:OURS}", "COLUMNS": "80"}, key_env="MY_KEY").prepare(REQUEST)
    assert made.rename_env == {"OPENAI_API_KEY": "MY_KEY", "A": "OURS"}
    assert (made.env["COLUMNS"], made.env["BROWSER"]) == ("80", "true")


def test_in_the_users_home_no_file_is_written() -> None:
    made = aider(home="user").prepare(REQUEST)
    assert not made.private_home
    assert not [path for path in made.files if path.startswith("home/")]


@pytest.mark.parametrize(
    ("spec", "prompt", "words"),
    [({"model": ""}, "x", "agent aider: no model is set"), ({}, " \n", "agent aider: the prompt of a is empty")],
)
def test_what_it_cannot_take(spec: dict[str, Any], prompt: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        aider(**spec).prepare(asked(prompt=prompt))


def test_probe(tmp_path: Path) -> None:
    path = tmp_path / "aider"
    path.write_text("#!/bin/sh\necho aider 0.86.2\n")
    path.chmod(0o755)
    probe = aider(program=str(path), key_env="BRANCHLINE_NO_SUCH_KEY").probe()
    assert (probe.available, probe.version, probe.tested) == (True, "0.86.2", True)
    assert probe.hint == "export BRANCHLINE_NO_SUCH_KEY=..."
    assert aider(program="no-such-aider").probe().hint.startswith("uv tool install")


# What is read


@pytest.mark.parametrize(
    ("case", "status", "kind"),
    [
        ("edit", AgentStatus.OK, ""),
        ("new_file", AgentStatus.OK, ""),
        ("ask", AgentStatus.OK, ""),
        ("nonconforming", AgentStatus.OK, ""),  # at last it said `Done.`; that nothing changed is for git to say
        ("gave_up", AgentStatus.INVALID_OUTPUT, ""),
        ("auth", AgentStatus.MODEL_ERROR, "auth"),
        ("no_key", AgentStatus.MODEL_ERROR, "auth"),
        ("rate_limit", AgentStatus.MODEL_ERROR, "rate_limit"),
        ("server_error", AgentStatus.MODEL_ERROR, "server_error"),
        ("connection", AgentStatus.MODEL_ERROR, "connection"),
        ("unknown_model", AgentStatus.MODEL_ERROR, "unknown_model"),
    ],
)
def test_recorded_runs(case: str, status: AgentStatus, kind: str) -> None:
    result = recording("aider", case).parsed_by(AIDER)
    assert (result.status, result.error_class) == (status, kind)
    assert (result.message == "") == (status is AgentStatus.OK)


def test_a_recorded_edit_in_full() -> None:
    result = recording("aider", "edit").parsed_by(AIDER)
    assert result.usage == Usage(
        input_tokens=1300, output_tokens=60, cached_tokens=0, cost_usd=0.0014, cost_source="agent"
    )
    assert result.notes.startswith("src/calc.py\n```\n<<<<<<< SEARCH")
    assert result.notes.endswith("```")
    assert result.model == "openai/scripted"


def test_the_answers_of_one_run_add_up() -> None:
    result = recording("aider", "nonconforming").parsed_by(AIDER)
    assert (result.usage.input_tokens, result.usage.output_tokens) == (1200 + 1200 + 2600, 40 + 40 + 42)
    assert result.usage.cost_usd == 0.0052


def test_a_cost_that_is_not_told_is_unknown() -> None:
    usage = recording("aider", "new_file").parsed_by(AIDER).usage
    assert (usage.input_tokens, usage.cost_usd, usage.cost_source) == (2200, None, "unknown")


def test_the_answer_to_a_question() -> None:
    played = recording("aider", "ask")
    schema = {"type": "object", "required": ["workstreams"]}
    result = checked(played.parsed_by(AIDER), msgspec.structs.replace(played.request, output_schema=schema))
    assert result.structured == {"workstreams": ["one"]}


def test_an_answer_longer_than_the_notes_is_read_whole() -> None:
    answer = {"names": ["n" * 1000] * 200}
    stdout = f"{json.dumps(answer)}\n\n{TOKENS}\n".encode()
    question = asked(output_schema={"type": "object"})
    assert checked(parse(AIDER, question, DONE, stdout, b""), question).structured == answer


def test_progress_is_told_while_it_runs() -> None:
    reader = AIDER.reader(REQUEST)
    for line in recording("aider", "edit").stdout.splitlines():
        reader.line(line)
    assert reader.progress == Progress(doing="edit src/calc.py", files=("src/calc.py",), tokens=1360, cost_usd=0.0014)


def test_waiting_is_told_with_its_reason() -> None:
    reader = AIDER.reader(REQUEST)
    for line in recording("aider", "rate_limit").stdout.splitlines():
        reader.line(line)
    assert reader.progress.doing.startswith("Retrying in 16.0 seconds... litellm.RateLimitError")


TOKENS = "Tokens: 1.2k sent, 40 received."


def test_tokens_in_the_cache_and_the_cost_on_a_line_of_its_own() -> None:
    result = told(
        "Tokens: 15k sent, 1.1k cache write, 12k cache hit, 950 received.", "Cost: $0.10 message, $1.25 session."
    )
    assert result.usage == Usage(
        input_tokens=15000, output_tokens=950, cached_tokens=12000, cost_usd=1.25, cost_source="agent"
    )


def test_an_error_that_another_request_mended_is_none() -> None:
    assert (
        told("litellm.APIConnectionError: x", "Retrying in 0.2 seconds...", "hello", "", TOKENS).status
        is AgentStatus.OK
    )


def test_an_error_in_the_models_own_words_is_none() -> None:
    words = ("litellm.AuthenticationError: as in this text", "The LLM did not conform to the edit format.")
    assert told(*words, TOKENS, "Applied edit to a.py").status is AgentStatus.OK


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        ("litellm.BadRequestError: LLM Provider NOT provided. model=x", AgentStatus.MODEL_ERROR, "unknown_model"),
        (
            "litellm.BadRequestError: OpenAIException - maximum context length",
            AgentStatus.MODEL_ERROR,
            "context_too_large",
        ),
        ("litellm.BadRequestError: OpenAIException - no", AgentStatus.MODEL_ERROR, "bad_request"),
        ("litellm.RateLimitError: You exceeded your current quota", AgentStatus.MODEL_ERROR, "billing"),
        ("litellm.Timeout: timed out", AgentStatus.MODEL_ERROR, "connection"),
        ("litellm.ServiceUnavailableError: no", AgentStatus.MODEL_ERROR, "overloaded"),
        ("litellm.SomethingNewError: no", AgentStatus.MODEL_ERROR, ""),
        ("litellm.ContentPolicyViolationError: no", AgentStatus.REFUSED, ""),
        ("Model openai/scripted has hit a token limit!", AgentStatus.MODEL_ERROR, "context_too_large"),
        ("Unable to proceed without an OpenRouter API key for model 'x'.", AgentStatus.MODEL_ERROR, "auth"),
        ("Empty response received from LLM. Check your provider account?", AgentStatus.MODEL_ERROR, ""),
    ],
)
def test_errors_after_the_last_answer(line: str, status: AgentStatus, kind: str) -> None:
    result = told("hello", TOKENS, line)
    assert (result.status, result.error_class) == (status, kind)
    assert result.usage.input_tokens == 1200


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("AuthenticationError", "auth"),
        ("PermissionDeniedError", "auth"),
        ("RouterRateLimitError", "rate_limit"),
        ("InternalServerError", "server_error"),
        ("BadGatewayError", "server_error"),
        ("APIError", "server_error"),
        ("APIConnectionError", "connection"),
        ("NotFoundError", "unknown_model"),
        ("BudgetExceededError", "billing"),
        ("ContextWindowExceededError", "context_too_large"),
        ("UnprocessableEntityError", "bad_request"),
        ("UnsupportedParamsError", "bad_request"),
    ],
)
def test_an_errors_name_tells_its_class(name: str, kind: str) -> None:
    assert told(f"litellm.{name}: x").error_class == kind


def test_an_answer_that_was_too_long() -> None:
    lines = ("Model x has hit a token limit!", "Output tokens: ~4,000 of 4,096 -- possibly exceeded output limit!")
    assert told(*lines).status is AgentStatus.LIMIT


def test_edits_that_failed_are_no_success() -> None:
    result = told(
        TOKENS, "The LLM did not conform to the edit format.", "", "# 2 SEARCH/REPLACE blocks failed to match!"
    )
    assert result.status is AgentStatus.INVALID_OUTPUT
    assert result.message == "its edits fitted no file: # 2 SEARCH/REPLACE blocks failed to match!"


@pytest.mark.parametrize("code", [0, 1])
def test_without_an_answer_there_is_no_success(code: int) -> None:
    status = AgentStatus.CRASHED if code else AgentStatus.INVALID_OUTPUT
    result = told("Aider v0.86.2", "something", "", ended=Exit(code, None, None, 0.1))
    assert result.status is status
    assert "something" in result.message
    assert told(ended=FAILED, stderr=b"Traceback\nKeyError: 1\n").message == "KeyError: 1"


@pytest.mark.parametrize("case", ["edit", "auth", "gave_up"])
def test_cut_off_before_the_first_answer_ended_it_never_succeeded(case: str) -> None:
    played = recording("aider", case)
    end = played.stdout.find(b"Tokens: ")
    for length, result in enumerate(played.cut_off(AIDER, FAILED)):
        if end < 0 or length <= end + len(b"Tokens: 1.3k sent, "):
            assert result.status is not AgentStatus.OK, length


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([TOKENS.encode(), b"Cost: $1 message, $2 session."]), max_size=6)
)
def test_lines_of_any_bytes_are_read(lines: list[bytes]) -> None:
    msgspec.json.encode(parse(AIDER, REQUEST, DONE, b"\n".join(lines), b""))


def test_a_flood_is_kept_within_bounds() -> None:
    reader = AIDER.reader(REQUEST)
    for number in range(50_000):
        reader.line(b"%d " % number * 10)
        reader.line(b"Applied edit to %d" % number)
    reader.line(b"x" * 1_000_000)
    reader.line(TOKENS.encode())
    assert len(reader.result(DONE, b"").notes) <= 1 << 20
    assert len(reader.progress.files) == 1000
    reader.line(b"Applied edit to " + b"x" * 1_000_000)
    assert len(reader.progress.doing) == 200
