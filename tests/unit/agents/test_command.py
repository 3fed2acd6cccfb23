import sys
from typing import Any

import pytest

from branchline.agents.command import CommandAgent
from branchline.core.agent import AgentRequest, AgentSpec, AgentStatus
from branchline.errors import InvalidInput
from branchline.process.spawn import Exit

DONE = Exit(0, None, None, 0.1)


def spec(*command: str, **more: Any) -> AgentSpec:
    return AgentSpec(id="mine", command=command or ("tool",), **more)


def request(prompt: str = "do it") -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="ws", round=2, attempt=1, prompt=prompt, worktree="/work", folder="/attempt"
    )


def test_whole_arguments_are_filled_in_and_parts_are_left_alone() -> None:
    command = (
        "tool",
        "{prompt}",
        "{prompt_file}",
        "{worktree}",
        "{model}",
        "{workstream}",
        "{round}",
        "a={prompt}",
        "{}",
    )
    invocation = CommandAgent(spec(*command, model="m")).prepare(request("{model} $HOME"))
    assert invocation.argv == (
        "tool", "{model} $HOME", "/attempt/prompt.md", "/work", "m", "ws", "2", "a={prompt}", "{}",
    )  # fmt: skip
    assert invocation.files == {"prompt.md": "{model} $HOME"}
    assert invocation.stdin is None
    assert invocation.private_home


def test_prompt_by_stdin_and_the_users_home() -> None:
    invocation = CommandAgent(spec(stdin="{prompt}", home="user", env={"A": "1"}, pass_env=("KEY",))).prepare(request())
    assert invocation.stdin == "do it"
    assert not invocation.private_home
    assert (invocation.env, invocation.pass_env) == ({"A": "1"}, ("KEY",))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (spec("tool", "{promt}"), r"unknown placeholder \{promt\}"),
        (spec("tool", "{model}"), "no model is set"),
    ],
)
def test_a_specification_that_makes_no_sense(wrong: AgentSpec, words: str) -> None:
    with pytest.raises(InvalidInput, match=f"agent mine: .*{words}") as caught:
        CommandAgent(wrong)
    assert caught.value.hint


@pytest.mark.parametrize("prompt", ["a\0b", "x" * 200_000, "\ud800"])
def test_a_prompt_that_fits_no_argument(prompt: str) -> None:
    with pytest.raises(InvalidInput, match="agent mine"):
        CommandAgent(spec("tool", "{prompt}")).prepare(request(prompt))


def test_a_long_prompt_fits_a_file_or_stdin() -> None:
    invocation = CommandAgent(spec("tool", "{prompt_file}", stdin="{prompt}")).prepare(request("x" * 200_000))
    assert len(invocation.files["prompt.md"]) == len(invocation.stdin or "") == 200_000


def test_exit_codes_and_words_decide() -> None:
    agent = CommandAgent(spec(ok_codes=(0, 4), fail_if_stdout=("401 Unauthorized",)))
    assert agent.parse(DONE, b"\xffall done\n", b"").status is AgentStatus.OK
    assert agent.parse(Exit(4, None, None, 0.1), b"", b"").status is AgentStatus.OK
    lying = agent.parse(DONE, b"error: 401 Unauthorized\n", b"")
    assert (lying.status, lying.message) == (AgentStatus.MODEL_ERROR, "it printed '401 Unauthorized'")
    failed = agent.parse(Exit(1, None, None, 0.1), b"out\n", b"trace\n\x1b[31mkey missing\x1b[0m\n")
    assert (failed.status, failed.message) == (AgentStatus.MODEL_ERROR, "exit code 1: key missing")


def test_notes_are_the_end_of_what_it_said() -> None:
    notes = CommandAgent(spec()).parse(DONE, b"x" * 9000 + b"the end", b"").notes
    assert notes.endswith("xthe end")
    assert len(notes) == 4000


def test_probe() -> None:
    assert CommandAgent(spec(sys.executable)).probe().available
    assert CommandAgent(spec("sh")).probe().path.endswith("/sh")
    assert CommandAgent(spec("./agent.sh")).probe().available
    missing = CommandAgent(spec("no-such-agent")).probe()
    assert not missing.available
    assert "install no-such-agent" in missing.hint
