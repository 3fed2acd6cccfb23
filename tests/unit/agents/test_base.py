"""The supervisor where the contract suite does not reach: stdin, the home, crashes, requests it cannot pass on."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.base import Agent
from branchline.agents.command import CommandAgent
from branchline.agents.supervise import attempt
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Limits
from branchline.core.model.agent_spec import AgentSpec, Output
from branchline.errors import InvalidInput
from branchline.process.spawn import KillSwitch
from recordings import lines

SHELL = ("sh", "-c", "{prompt}")


def ask(agent: Agent, tmp_path: Path, prompt: str, kill: KillSwitch | None = None, **more: Any) -> AgentResult:
    run_id = uuid.uuid4().hex  # the sweep finds processes by it, those of other tests too
    request = AgentRequest(
        run_id=run_id, workstream="a", round=1, attempt=1, prompt=prompt, worktree=str(tmp_path),
        folder=str(tmp_path / "attempt"), **more,
    )  # fmt: skip
    environ = {**os.environ, "HOME": "/home/me", "MINE": "my own"}
    return attempt(
        agent, request, environ=environ, kill=kill or KillSwitch(), timeout=20, marker=f"{run_id}/a/1",
        record=tmp_path / "record",
    )  # fmt: skip


def shell(**more: Any) -> CommandAgent:
    return CommandAgent(AgentSpec(id="shell", **{"command": SHELL, **more}))


def test_the_prompt_by_stdin_and_the_users_home(tmp_path: Path) -> None:
    result = ask(shell(command=("sh", "-s"), stdin="{prompt}", home="user"), tmp_path, "echo $HOME $BRANCHLINE_ATTEMPT")
    assert result.status is AgentStatus.OK
    home, marker = result.notes.split()
    assert home == "/home/me"
    assert marker.endswith("/a/1")


def test_a_variable_of_the_specification_wins_over_the_private_home(tmp_path: Path) -> None:
    assert ask(shell(env={"HOME": "/chosen"}), tmp_path, "echo $HOME").notes == "/chosen"


def test_a_variable_under_another_name(tmp_path: Path) -> None:
    agent = shell(env={"A": "${env:MINE}", "B": "${env:NOT_SET}", "C": "${key}"}, key_env="MINE")
    assert ask(agent, tmp_path, "echo $A-${B-none}-$C-${MINE-hidden}").notes == "my own-none-my own-hidden"


def test_a_secret_under_an_innocent_name_is_hidden_too(tmp_path: Path) -> None:
    os.environ["BRANCHLINE_TEST_API_KEY"] = "sk-a-secret-value"
    try:
        result = ask(shell(env={"A": "${env:BRANCHLINE_TEST_API_KEY}"}), tmp_path, "echo it is $A")
    finally:
        del os.environ["BRANCHLINE_TEST_API_KEY"]
    assert result.notes == "it is [secret]"


def test_its_files_are_there(tmp_path: Path) -> None:
    agent = shell(files={"home/.config/x.json": '{"in": "{worktree}"}'})
    assert ask(agent, tmp_path, "cat $HOME/.config/x.json").notes == f'{{"in": "{tmp_path}"}}'


def test_ended_by_a_signal_of_its_own_is_a_crash(tmp_path: Path) -> None:
    result = ask(shell(), tmp_path, "echo so far; kill -SEGV $$")
    assert (result.status, result.message, result.notes) == (AgentStatus.CRASHED, "ended by signal 11", "so far")


def test_a_switch_that_was_pulled_before_the_start_cancels(tmp_path: Path) -> None:
    kill = KillSwitch()
    kill.pull("cancelled")
    assert ask(shell(), tmp_path, "sleep 60", kill).status is AgentStatus.CANCELLED


def test_it_is_ended_when_its_own_words_say_that_the_money_is_spent(tmp_path: Path) -> None:
    agent = shell(output=Output(cost_usd=r"cost (?P<value>[\d.]+)"))
    result = ask(agent, tmp_path, "echo cost 0.6; sleep 60", limits=Limits(usd=0.5))
    assert (result.status, result.error_class, result.usage.cost_usd) == (AgentStatus.LIMIT, "budget", 0.6)


def test_a_request_that_cannot_be_passed_on_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        ask(shell(), tmp_path, "a\0b")
    assert not (tmp_path / "attempt").exists()


@pytest.mark.parametrize(("data", "expected"), [(b"", []), (b"a", [b"a"]), (b"a\n\nb\n", [b"a", b"", b"b"])])
def test_lines_of_a_recorded_output(data: bytes, expected: list[bytes]) -> None:
    assert list(lines(data)) == expected
