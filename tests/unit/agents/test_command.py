import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.agents.command import CommandAgent
from branchline.core.model.agent import AgentRequest, ContextFile, Limits
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import InvalidInput

CONTEXT = (ContextFile(path="a.py", role="edit"), ContextFile(path="-b.md"), ContextFile(path="c d.md"))
SCHEMA = {"type": "object", "required": ["a"]}


def agent(*command: Any, **more: Any) -> CommandAgent:
    made = msgspec.convert({"id": "mine", "command": command or ["tool"], **more}, AgentSpec)
    return CommandAgent(made)


def request(prompt: str = "do it", **more: Any) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="ws", round=2, attempt=1, prompt=prompt, worktree="/work", folder="/attempt", **more
    )


def argv(*command: Any, asked: AgentRequest | None = None, **more: Any) -> tuple[str, ...]:
    return agent(*command, **more).prepare(asked or request()).argv


class TestPlaceholders:
    def test_whole_arguments_are_filled_in_and_parts_are_left_alone(self) -> None:
        command = ("tool", "{prompt}", "{prompt_file}", "{worktree}", "{folder}", "{home}", "{model}", "{workstream}",
                   "{round}", "{mode}", "a={prompt}", "{}", "{folder}/x y", "{home}x")  # fmt: skip
        invocation = agent(*command, model="m").prepare(request("{model} $HOME"))
        assert invocation.argv == (
            "tool", "{model} $HOME", "/attempt/prompt.md", "/work", "/attempt", "/attempt/home", "m", "ws",
            "2", "edit", "a={prompt}", "{}", "/attempt/x y", "{home}x",
        )  # fmt: skip
        assert invocation.stdin is None
        assert invocation.private_home
        assert invocation.grace == 2.0

    def test_the_endpoint_goes_before_the_base_url(self) -> None:
        assert argv("t", "{base_url}", base_url="http://b") == ("t", "http://b")
        assert argv("t", "{base_url}", base_url="http://b", asked=request(endpoint="http://e")) == ("t", "http://e")

    @pytest.mark.parametrize(("usd", "told"), [(2.5, "2.5"), (0.00001, "0.00001"), (0.0, "0")])
    def test_limits_are_those_of_the_request(self, usd: float, told: str) -> None:
        asked = request(limits=Limits(usd=usd, turns=3))
        assert argv("t", "{max_turns}", "{max_usd}", asked=asked, max_usd=9.0) == ("t", "3", told)

    @pytest.mark.parametrize("part", ["{base_url}", "{schema}", "{schema_file}", "{max_turns}", "{max_usd}"])
    def test_a_value_that_is_not_there(self, part: str) -> None:
        with pytest.raises(InvalidInput, match="but there is none") as caught:
            argv("t", part)
        assert f"{{if: {part[1:-1]}" in caught.value.hint

    def test_the_users_home_cannot_be_known(self) -> None:
        with pytest.raises(InvalidInput, match=r"has \{home\}"):
            argv("t", "{home}/x", home="user")

    def test_the_schema_as_text_and_as_a_file(self) -> None:
        invocation = agent("t", "{schema}", "{schema_file}").prepare(request(output_schema=SCHEMA))
        assert invocation.argv == ("t", '{"type":"object","required":["a"]}', "/attempt/schema.json")
        assert msgspec.json.decode(invocation.files["schema.json"]) == SCHEMA

    @pytest.mark.parametrize("prompt", ["a\0b", "x" * 200_000, "\ud800"])
    def test_a_prompt_that_fits_no_argument(self, prompt: str) -> None:
        with pytest.raises(InvalidInput, match="agent mine"):
            argv("tool", "{prompt}", asked=request(prompt))

    def test_a_long_prompt_fits_a_file_or_stdin(self) -> None:
        invocation = agent("tool", "{prompt_file}", stdin="{prompt}").prepare(request("x" * 1_000_000))
        assert len(invocation.stdin or "") == 1_000_000


class TestGroups:
    def test_one_for_each_file(self) -> None:
        asked = request(context=CONTEXT)
        each = {"each": "context.read", "as": ["--read", "{path}"]}
        assert argv("t", each, asked=asked) == ("t", "--read", "./-b.md", "--read", "c d.md")
        assert argv("t", {**each, "each": "context.edit"}, asked=asked) == ("t", "--read", "a.py")
        assert len(argv("t", {**each, "each": "context"}, asked=asked)) == 7
        assert argv("t", each) == ("t",)

    def test_no_more_files_than_its_window_holds(self) -> None:
        sizes = {"a.py": 60, "b.py": 50, "c.py": 40}
        asked = request(context=tuple(ContextFile(path=path, tokens=tokens) for path, tokens in sizes.items()))
        assert argv("t", {"each": "context", "as": ["{path}"]}, asked=asked, window=100) == ("t", "a.py", "c.py")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("model", {"model": "m"}),
            ("base_url", {"base_url": "u"}),
            ("max_turns", {"asked": request(limits=Limits(turns=1))}),
            ("max_usd", {"asked": request(limits=Limits(usd=1.0))}),
        ],
    )
    def test_only_if_there_is_a_value(self, name: str, value: dict[str, Any]) -> None:
        part = {"if": name, "as": ["-x", f"{{{name}}}"]}
        assert argv("t", part, "end") == ("t", "end")
        told = next(iter(value.values()))
        assert argv("t", part, "end", **value) == ("t", "-x", told if isinstance(told, str) else "1", "end")

    def test_only_if_there_is_a_schema(self) -> None:
        part = {"if": "schema", "as": ["-s", "{schema_file}"]}
        assert argv("t", part) == ("t",)
        assert argv("t", part, asked=request(output_schema=SCHEMA)) == ("t", "-s", "/attempt/schema.json")


class TestVariablesAndFiles:
    def test_a_variable_is_set_renamed_or_left_out(self) -> None:
        env = {"A": "1", "URL": "{base_url}/v1", "CONFIG": "{folder}/{mode}.json", "B": "${env:MINE}", "KEY": "${key}"}
        invocation = agent(env=env, pass_env=["LANG_X"]).prepare(request())
        assert invocation.env == {"A": "1", "CONFIG": "/attempt/edit.json"}
        assert invocation.rename_env == {"B": "MINE"}
        assert invocation.pass_env == ("LANG_X",)
        invocation = agent(env=env, key_env="MY_KEY", base_url="http://x").prepare(request())
        assert invocation.env["URL"] == "http://x/v1"
        assert invocation.rename_env == {"B": "MINE", "KEY": "MY_KEY"}

    def test_files_hold_values_quoted_where_they_stand_in_quotes(self) -> None:
        files = {"home/.x/c.json": '{"task": "{prompt}", "dir": "{worktree}"}', "c.txt": "{prompt}", "d": "{base_url}"}
        made = agent(files=files).prepare(request('say "hi"\n')).files
        assert msgspec.json.decode(made["home/.x/c.json"]) == {"task": 'say "hi"\n', "dir": "/work"}
        assert made["c.txt"] == 'say "hi"\n'
        assert "d" not in made

    def test_a_value_is_not_expanded_again(self) -> None:
        assert agent(files={"c.txt": "{prompt}"}).prepare(request("{worktree}")).files == {"c.txt": "{worktree}"}


class TestModes:
    def test_a_command_of_its_own_for_reading(self) -> None:
        both = agent("t", "--write", read_command=["t", "--plan"], args=["-v"], program="/opt/t", stdin="{prompt}")
        assert both.prepare(request()).argv == ("/opt/t", "--write", "-v")
        assert both.prepare(request(mode="read")).argv == ("/opt/t", "--plan", "-v")
        assert both.prepare(request()).stdin == "do it"

    def test_without_one_it_cannot_be_held_to_reading(self) -> None:
        with pytest.raises(InvalidInput, match="cannot be held to reading") as caught:
            agent("t").prepare(request(mode="read"))
        assert "read_command" in caught.value.hint

    def test_the_users_home_and_its_grace(self) -> None:
        invocation = agent(home="user", grace="10s").prepare(request())
        assert not invocation.private_home
        assert invocation.grace == 10.0


def test_abilities_are_what_the_specification_says() -> None:
    assert agent("t").abilities == {"edit"}
    able = agent(
        "t", {"if": "schema", "as": ["{schema}"]}, {"if": "max_turns", "as": ["{max_turns}"]},
        {"if": "max_usd", "as": ["{max_usd}"]}, read_command=["t"], env={"U": "{base_url}/v1"}, provider="http://p",
        output={"format": "jsonl", "input_tokens": "$.a", "cost_usd": "$.b", "doing": "$.c"},
    )  # fmt: skip
    assert able.abilities == {
        "edit", "read", "schema", "turns", "budget", "usage", "cost", "stream", "endpoint",
    }  # fmt: skip
    assert able.provider == "http://p"


class TestProbe:
    def test_what_is_there_and_what_is_not(self) -> None:
        assert agent(sys.executable).probe().available
        assert agent("sh").probe().path.endswith("/sh")
        assert agent("./agent.sh").probe().available
        assert agent("no-such-agent", program="sh").probe().available
        missing = agent("no-such-agent").probe()
        assert not missing.available
        assert "install no-such-agent" in missing.hint
        assert agent("no-such-agent", install="npm i x").probe().hint == "npm i x"

    @pytest.mark.parametrize(
        ("said", "tested", "expected"),
        [
            ("echo v1.10.0", ["1.9.0", "1.10.0"], ("1.10.0", True, "")),
            ("echo 1.11 >&2", ["1.9.0", "1.10.0"], ("1.11", False, "npm i tool")),
            ("echo 1.2.3", [], ("1.2.3", None, "")),
            ("echo none", ["1.0", "2.0"], ("", None, "npm i tool")),
        ],
    )
    def test_its_version(self, tmp_path: Path, said: str, tested: list[str], expected: tuple[str, bool, str]) -> None:
        tool = tmp_path / "tool"
        tool.write_text(f"#!/bin/sh\ntouch ~/left; {said}\n")
        tool.chmod(0o755)
        probe = agent("tool", program=str(tool), version=["tool", "-V"], tested=tested, install="npm i tool").probe()
        assert (probe.version, probe.tested, probe.hint) == expected
        assert not Path("~/left").expanduser().exists()
