import json
import sys
from pathlib import Path

import pytest

from branchline.agents.scripted import RUNNER, ScriptedAgent
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.plan import Action, Script, WriteFile
from branchline.process.spawn import Exit
from recordings import parse

DONE = Exit(0, None, None, 0.1)
FAILED = Exit(1, None, None, 0.1)
OK_LINE = b'{"type": "result", "status": "ok", "message": "", "usage": {"input_tokens": 0}}\n'


def request(script: Script = (), number: int = 1) -> AgentRequest:
    return AgentRequest(
        run_id="r", workstream="a", round=number, attempt=1, prompt="", worktree="/w", folder="/f", script=script
    )


def read(stdout: bytes, ended: Exit = DONE, stderr: bytes = b"") -> AgentResult:
    return parse(ScriptedAgent(), request(), ended, stdout, stderr)


def test_prepare_is_one_process_with_the_script_as_a_file() -> None:
    script = (Action(write=WriteFile(path="a\udcff", content="b")), Action(hang=True))
    invocation = ScriptedAgent().prepare(request(script))
    assert invocation.argv == (sys.executable, "-I", "-S", RUNNER, "/f/script.json")
    assert '"a\\udcff"' in invocation.files["script.json"]
    assert '"hang": true' in invocation.files["script.json"]


def test_scripts_of_its_own_for_its_calls() -> None:
    scripts: tuple[Script, ...] = ((Action(fail="first"),), (Action(fail="second"),))
    agent = ScriptedAgent(AgentSpec(id="planner", use="scripted", scripts=scripts))
    played = [json.loads(agent.prepare(request(number=number)).files["script.json"]) for number in (1, 2, 3)]
    assert played == [[{"fail": "first"}], [{"fail": "second"}], []]
    plans_own = agent.prepare(request((Action(fail="the plan's"),)))
    assert json.loads(plans_own.files["script.json"]) == [{"fail": "the plan's"}]


def test_probe_finds_itself() -> None:
    probe = ScriptedAgent().probe()
    assert probe.available
    assert Path(probe.path).is_file()


def test_parse_takes_the_last_line() -> None:
    result = read(b'\xff{"type": "action"}\n' + OK_LINE)
    assert result.status is AgentStatus.OK
    assert result.usage == Usage(input_tokens=0)


def test_an_answer_and_what_it_cost() -> None:
    result = read(
        b'{"type": "result", "status": "ok", "structured": {"a": 1}, "usage": {"input_tokens": 5, "cost_usd": 0.5}}\n'
    )
    assert result.structured == {"a": 1}
    assert (result.usage.cost_usd, result.usage.cost_source) == (0.5, "agent")


def test_progress_is_the_last_action() -> None:
    reader = ScriptedAgent().reader(request())
    reader.line(b'{"type": "action", "number": 1, "action": {"write": {"path": "a.txt", "content": "x"}}}')
    assert reader.progress.doing == "write a.txt"
    reader.line(b'{"type": "usage", "usage": {"input_tokens": 5, "output_tokens": 2, "cost_usd": 0.5}}')
    assert (reader.progress.doing, reader.progress.tokens, reader.progress.cost_usd) == ("write a.txt", 7, 0.5)
    reader.line(b'{"type": "action", "number": 2, "action": "hang"}')
    assert reader.progress.doing == "hang"


def test_ok_in_words_but_not_in_exit_is_a_failure() -> None:
    assert read(OK_LINE, FAILED).status is AgentStatus.MODEL_ERROR


@pytest.mark.parametrize("stdout", [b"", b"\xff", b"[]\n", b'{"type": "action"}\n', OK_LINE[:-5], OK_LINE + b"more"])
def test_a_stream_without_a_result_is_invalid_or_a_crash(stdout: bytes) -> None:
    assert read(stdout).status is AgentStatus.INVALID_OUTPUT
    crash = read(stdout, FAILED, b"first\nlast words\n\n")
    assert crash.status is AgentStatus.CRASHED
    assert crash.message == "last words"
