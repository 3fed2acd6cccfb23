"""Agents that are nothing but a YAML file: what they run, and how they read what the real programs printed."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.agents.command import CommandAgent
from branchline.agents.registry import ADAPTERS, FOLDER, make, preset
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Limits, Mode
from branchline.core.model.agent_spec import BUILT_IN, PRESETS, AgentSpec
from branchline.process.spawn import Exit
from recordings import parse

FIXTURES = Path(__file__).parents[2] / "fixtures" / "agents"
DONE = Exit(0, None, None, 0.1)


def agent(name: str, **more: Any) -> CommandAgent:
    made = make(AgentSpec(id="mine", use=name, **more))
    assert isinstance(made, CommandAgent)
    return made


def request(mode: Mode = "edit", **more: Any) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="w", round=1, attempt=1, prompt='say "hi"', worktree="/w", folder="/f", mode=mode, **more
    )


def invocation(name: str, asked: AgentRequest | None = None, **more: Any) -> Invocation:
    return agent(name, **more).prepare(asked or request())


def recorded(name: str, case: str, code: int = 0) -> AgentResult:
    output = (FIXTURES / name / f"{case}.stdout").read_bytes()
    stderr = FIXTURES / name / f"{case}.stderr"
    told = stderr.read_bytes() if stderr.exists() else b""
    return parse(agent(name), request(), Exit(code, None, None, 0.1), output, told)


def test_every_file_is_an_agent_and_every_agent_has_its_file_or_adapter() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == sorted(PRESETS)
    assert sorted(BUILT_IN) == sorted((*PRESETS, *ADAPTERS))


@pytest.mark.parametrize("name", PRESETS)
class TestEvery:
    def test_it_makes_sense_and_says_what_a_user_must_know(self, name: str) -> None:
        made = agent(name)
        assert made.spec.id == "mine"
        assert made.spec.install
        assert made.spec.version
        assert len(made.spec.tested) == 2
        assert "endpoint" in made.abilities

    def test_the_prompt_is_no_argument(self, name: str) -> None:
        for mode in ("edit", "read") if "read" in agent(name).abilities else ("edit",):
            made = invocation(name, request(mode))
            assert not any("say" in argument for argument in made.argv)
            assert made.stdin == 'say "hi"' or "task.yaml" in made.files

    def test_files_of_json_are_json_whatever_the_values(self, name: str) -> None:
        made = invocation(name, model='m"1', base_url="http://x/\\")
        checked = [json.loads(text) for path, text in made.files.items() if path.endswith((".json", ".yaml"))]
        assert checked or name == "qwen"

    def test_without_model_and_url_nothing_is_made_up(self, name: str) -> None:
        made = invocation(name)
        assert not any("{" in argument for argument in made.argv)
        assert not any("{base_url}" in value or "{model}" in value for value in made.env.values())
        assert not any("{base_url}" in text or "{model}" in text for text in made.files.values())

    def test_output_that_is_cut_off_anywhere_is_never_ok(self, name: str) -> None:
        case = "edit" if name in {"opencode", "pi"} else "stream_edit"
        output = (FIXTURES / name / f"{case}.stdout").read_bytes()
        made = agent(name)
        whole = parse(made, request(), DONE, output, b"")
        assert whole.status is AgentStatus.OK
        last = output.rstrip().rindex(b"\n") + 1
        for cut in {*range(0, last, 1 + last // 300), last}:
            result = parse(made, request(), DONE, output[:cut], b"")
            assert result.status is AgentStatus.INVALID_OUTPUT, cut


class TestMerging:
    def test_what_the_user_sets_counts_before(self) -> None:
        spec = AgentSpec(
            id="g", use="gemini", model="m", key_env="MINE", env={"GEMINI_CLI_NO_RELAUNCH": "false", "A": "1"},
            files={"home/x": "y"}, pass_env=("P",), grace="9s",
        )  # fmt: skip
        merged = preset(spec)
        assert (merged.id, merged.model, merged.key_env, merged.grace) == ("g", "m", "MINE", "9s")
        assert merged.env["GEMINI_CLI_NO_RELAUNCH"] == "false"
        assert {"A", "GOOGLE_GEMINI_BASE_URL"} <= merged.env.keys()
        assert {"home/x", "home/.gemini/settings.json"} <= merged.files.keys()
        assert merged.pass_env == ("P",)
        assert merged.limit_codes == (53,)
        assert preset(AgentSpec(id="p", use="pi", pass_env=("P",))).pass_env[-1] == "P"

    def test_a_command_of_the_users_own(self) -> None:
        command = ("gemini", "--approval-mode", "auto_edit")
        assert invocation("gemini", command=command).argv == command

    def test_another_executable(self) -> None:
        assert invocation("qwen", program="/opt/qwen").argv[0] == "/opt/qwen"
        assert invocation("qwen", request("read"), program="/opt/qwen").argv[0] == "/opt/qwen"


class TestGemini:
    def test_how_it_is_called(self) -> None:
        made = invocation("gemini", model="m", base_url="http://x", key_env="MY_KEY")
        assert made.argv == (
            "gemini", "--output-format", "stream-json", "--approval-mode", "yolo", "--skip-trust",
            "--allowed-mcp-server-names", "none", "--extensions", "none", "--model", "m",
        )  # fmt: skip
        assert made.env == {"GOOGLE_GEMINI_BASE_URL": "http://x", "GEMINI_CLI_NO_RELAUNCH": "true"}
        assert made.rename_env == {"GEMINI_API_KEY": "MY_KEY"}
        assert "plan" in invocation("gemini", request("read")).argv

    def test_an_edit(self) -> None:
        result = recorded("gemini", "stream_edit")
        assert (result.status, result.notes, result.model) == (AgentStatus.OK, "done it", "gemini-2.5-pro")
        assert (result.usage.output_tokens, result.usage.cached_tokens, result.usage.cost_usd) == (126, 0, None)
        assert len(result.session_id) == 36

    def test_an_error(self) -> None:
        result = recorded("gemini", "stream_auth", code=145)
        assert result.status is AgentStatus.MODEL_ERROR
        assert result.message.startswith("[API Error: ")

    def test_reading(self) -> None:
        assert recorded("gemini", "stream_read").status is AgentStatus.OK


class TestQwen:
    def test_how_it_is_called(self) -> None:
        asked = request(limits=Limits(turns=7))
        made = invocation("qwen", asked, base_url="http://x/v1")
        assert made.argv[:2] == ("qwen", "--bare")
        assert made.argv[-2:] == ("--max-session-turns", "7")
        quiet = f'--require="{asked.folder}/quiet.cjs"'
        assert made.env == {"OPENAI_BASE_URL": "http://x/v1", "NODE_OPTIONS": quiet}
        assert made.rename_env == {"OPENAI_API_KEY": "OPENAI_API_KEY"}

    def test_an_edit(self) -> None:
        result = recorded("qwen", "stream_edit")
        assert (result.status, result.notes, result.model) == (AgentStatus.OK, "done it", "scripted")
        assert result.usage.output_tokens == 126

    def test_an_error_that_calls_itself_a_success(self) -> None:
        result = recorded("qwen", "stream_auth")
        assert (result.status, result.error_class, result.retryable) == (AgentStatus.MODEL_ERROR, "auth", False)

    def test_out_of_turns(self) -> None:
        result = recorded("qwen", "stream_turns", code=53)
        assert (result.status, result.error_class) == (AgentStatus.LIMIT, "turns")

    @pytest.mark.parametrize(
        ("case", "code", "status"),
        [
            ("edit", 0, AgentStatus.OK),
            ("schema", 0, AgentStatus.OK),
            ("denied", 0, AgentStatus.OK),
            ("auth", 0, AgentStatus.MODEL_ERROR),
            ("schema_wrong", 1, AgentStatus.MODEL_ERROR),
            ("max_turns", 53, AgentStatus.LIMIT),
        ],
    )
    def test_its_other_form_one_array(self, case: str, code: int, status: AgentStatus) -> None:
        """The same places read `-o json`, where the events are the elements of one array."""
        ours = agent("qwen").spec
        output = msgspec.structs.replace(ours.output, format="json", structured="$[?type=result].structured_result")
        spec = msgspec.structs.replace(ours, output=output)
        stdout = (FIXTURES / "qwen" / f"{case}.stdout").read_bytes()
        stderr = (FIXTURES / "qwen" / f"{case}.stderr").read_bytes()
        result = parse(CommandAgent(spec), request(), Exit(code, None, None, 0.1), stdout, stderr)
        assert result.status is status
        assert (result.structured is not None) == (case == "schema")
        assert (result.denials == ("run_shell_command",)) == (case == "denied")


class TestOpencode:
    def test_each_mode_has_a_configuration_of_its_own(self) -> None:
        edit, read = invocation("opencode"), invocation("opencode", request("read"))
        assert edit.env["OPENCODE_CONFIG"] == "/f/opencode-edit.json"
        assert read.env["OPENCODE_CONFIG"] == "/f/opencode-read.json"
        allowed = json.loads(edit.files["opencode-edit.json"])["permission"]
        denied = json.loads(read.files["opencode-read.json"])["permission"]
        assert (allowed["edit"], allowed["bash"]) == ("allow", "allow")
        assert set(denied.values()) == {"deny"}

    def test_a_server_of_ones_own(self) -> None:
        made = invocation("opencode", model="qwen3", base_url="http://x/v1", key_env="MY_KEY")
        content = json.loads(made.env["OPENCODE_CONFIG_CONTENT"])
        assert content["model"] == "branchline/qwen3"
        assert content["provider"]["branchline"]["options"] == {
            "baseURL": "http://x/v1",
            "apiKey": "{env:BRANCHLINE_KEY}",
        }
        assert made.rename_env == {"BRANCHLINE_KEY": "MY_KEY"}
        assert "OPENCODE_CONFIG_CONTENT" not in invocation("opencode", model="anthropic/x").env

    def test_an_edit(self) -> None:
        result = recorded("opencode", "edit")
        assert (result.status, result.usage.cost_usd) == (AgentStatus.OK, 0.004124)
        assert result.usage.input_tokens

    def test_an_error(self) -> None:
        result = recorded("opencode", "auth", code=1)
        assert (result.status, result.error_class) == (AgentStatus.MODEL_ERROR, "auth")


class TestPi:
    def test_a_server_of_ones_own(self) -> None:
        made = invocation("pi", model="qwen3", base_url="http://x/v1")
        assert made.argv[-4:] == ("--provider", "branchline", "--model", "qwen3")
        models = json.loads(made.files["home/.pi/agent/models.json"])["providers"]["branchline"]
        assert (models["baseUrl"], models["models"]) == ("http://x/v1", [{"id": "qwen3"}])
        assert "home/.pi/agent/models.json" not in invocation("pi", model="anthropic/x").files

    def test_reading_has_no_tool_that_writes(self) -> None:
        argv = invocation("pi", request("read")).argv
        assert argv[argv.index("--tools") + 1] == "read,grep,find,ls"

    def test_an_edit(self) -> None:
        result = recorded("pi", "edit")
        assert (result.status, result.model) == (AgentStatus.OK, "scripted")
        assert result.usage.input_tokens

    @pytest.mark.parametrize(("case", "kind"), [("auth", "auth"), ("server_error", "server_error")])
    def test_an_error_with_exit_code_0(self, case: str, kind: str) -> None:
        result = recorded("pi", case)
        assert (result.status, result.error_class) == (AgentStatus.MODEL_ERROR, kind)


class TestMiniSweAgent:
    def test_how_it_is_called(self) -> None:
        made = invocation("mini-swe-agent", request(limits=Limits(usd=0.5)), model="openai/x")
        assert "/f/task.yaml" in made.argv
        assert made.argv[-4:] == ("--model", "openai/x", "--cost-limit", "0.5")
        assert json.loads(made.files["task.yaml"]) == {"run": {"task": 'say "hi"'}}

    def test_an_edit_whose_price_it_does_not_know(self) -> None:
        result = recorded("mini-swe-agent", "stream_edit")
        assert (result.status, result.usage.cost_usd) == (AgentStatus.OK, None)

    def test_an_error(self) -> None:
        result = recorded("mini-swe-agent", "stream_auth", code=1)
        assert (result.status, result.error_class) == (AgentStatus.MODEL_ERROR, "auth")
