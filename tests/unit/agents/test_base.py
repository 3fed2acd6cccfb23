"""The supervisor where the contract suite does not reach: stdin, the home, crashes, requests it cannot pass on."""

import os
import re
import uuid
from pathlib import Path

import pytest

from branchline.agents.base import Agent, attempt
from branchline.agents.command import CommandAgent
from branchline.core.agent import AgentRequest, AgentResult, AgentSpec, AgentStatus
from branchline.errors import InvalidInput
from branchline.process.spawn import KillSwitch


def ask(agent: Agent, tmp_path: Path, prompt: str, kill: KillSwitch | None = None) -> AgentResult:
    request = AgentRequest(
        run_id=uuid.uuid4().hex,  # the sweep finds processes by it, those of other tests too
        workstream="a",
        round=1,
        attempt=1,
        prompt=prompt,
        worktree=str(tmp_path),
        folder=str(tmp_path / "attempt"),
    )
    return attempt(agent, request, environ={**os.environ, "HOME": "/home/me"}, kill=kill or KillSwitch(), timeout=20)


def test_the_prompt_by_stdin_and_the_users_home(tmp_path: Path) -> None:
    shell = AgentSpec(id="shell", command=("sh", "-s"), stdin="{prompt}", home="user")
    result = ask(CommandAgent(shell), tmp_path, "echo $HOME $BRANCHLINE_ATTEMPT")
    assert result.status is AgentStatus.OK
    assert re.fullmatch(r"/home/me [0-9a-f]{32}/a/1\.1\n", result.notes)


def test_a_variable_of_the_specification_wins_over_the_private_home(tmp_path: Path) -> None:
    shell = AgentSpec(id="shell", command=("sh", "-c", "{prompt}"), env={"HOME": "/chosen"})
    assert ask(CommandAgent(shell), tmp_path, "echo $HOME").notes == "/chosen\n"


def test_ended_by_a_signal_of_its_own_is_a_crash(tmp_path: Path) -> None:
    shell = AgentSpec(id="shell", command=("sh", "-c", "{prompt}"))
    result = ask(CommandAgent(shell), tmp_path, "echo so far; kill -SEGV $$")
    assert (result.status, result.message, result.notes) == (AgentStatus.CRASHED, "ended by signal 11", "so far\n")


def test_a_switch_that_was_pulled_before_the_start_cancels(tmp_path: Path) -> None:
    kill = KillSwitch()
    kill.pull("cancelled")
    shell = AgentSpec(id="shell", command=("sh", "-c", "{prompt}"))
    assert ask(CommandAgent(shell), tmp_path, "sleep 60", kill).status is AgentStatus.CANCELLED


def test_a_request_that_cannot_be_passed_on_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        ask(CommandAgent(AgentSpec(id="shell", command=("sh", "-c", "{prompt}"))), tmp_path, "a\0b")
    assert not (tmp_path / "attempt").exists()
