import sys
from pathlib import Path

import pytest

from branchline.agents.scripted import RUNNER, ScriptedAgent
from branchline.core.agent import AgentRequest, AgentStatus, Usage
from branchline.core.plan import Action, WriteFile
from branchline.process.spawn import Exit

DONE = Exit(0, None, None, 0.1)
FAILED = Exit(1, None, None, 0.1)
OK_LINE = b'{"type": "result", "status": "ok", "message": "", "usage": {"input_tokens": 0}}\n'


def test_prepare_is_one_process_with_the_script_as_a_file() -> None:
    script = (Action(write=WriteFile(path="a\udcff", content="b")), Action(hang=True))
    request = AgentRequest(
        run_id="r", workstream="a", round=1, attempt=1, prompt="", worktree="/w", folder="/f", script=script
    )
    invocation = ScriptedAgent().prepare(request)
    assert invocation.argv == (sys.executable, "-I", "-S", RUNNER, "/f/script.json")
    assert '"a\\udcff"' in invocation.files["script.json"]
    assert '"hang": true' in invocation.files["script.json"]


def test_probe_finds_itself() -> None:
    probe = ScriptedAgent().probe()
    assert probe.available
    assert Path(probe.path).is_file()


def test_parse_takes_the_last_line() -> None:
    result = ScriptedAgent().parse(DONE, b'\xff{"type": "action"}\n' + OK_LINE, b"")
    assert result.status is AgentStatus.OK
    assert result.usage == Usage(input_tokens=0)


def test_ok_in_words_but_not_in_exit_is_a_failure() -> None:
    assert ScriptedAgent().parse(FAILED, OK_LINE, b"").status is AgentStatus.MODEL_ERROR


@pytest.mark.parametrize("stdout", [b"", b"\xff", b"[]\n", b'{"type": "action"}\n', OK_LINE[:-5], OK_LINE + b"more"])
def test_a_stream_without_a_result_is_invalid_or_a_crash(stdout: bytes) -> None:
    assert ScriptedAgent().parse(DONE, stdout, b"").status is AgentStatus.INVALID_OUTPUT
    crash = ScriptedAgent().parse(FAILED, stdout, b"first\nlast words\n\n")
    assert crash.status is AgentStatus.CRASHED
    assert crash.message == "last words"
