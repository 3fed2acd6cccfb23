import json
import os
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.agents.acp import AcpAgent
from branchline.agents.supervise import attempt, checked
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, ContextFile, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import InvalidInput
from branchline.process.spawn import Exit, KillSwitch
from processes import running, soon, token
from recordings import parse

AGENT = str(Path(__file__).parent / "acp_runner" / "acp_agent.py")
SPEC = AgentSpec(id="mine", use="acp", program=sys.executable, args=(AGENT,))
DONE, FAILED = Exit(0, None, None, 0.1), Exit(1, None, None, 0.1)
needs_library = pytest.mark.skipif(find_spec("acp") is None, reason="the extra acp is not installed")


def request(prompt: str = "", **members: Any) -> AgentRequest:
    named = {"run_id": "r", "workstream": "a", "round": 1, "attempt": 1, "worktree": "/w", "folder": "/f"}
    return AgentRequest(prompt=prompt, **{**named, **members})


def order_of(agent: AcpAgent, asked: AgentRequest) -> dict[str, Any]:
    return dict(json.loads(agent.prepare(asked).files["acp.json"]))


def read(*lines: dict[str, Any], ended: Exit = DONE, stderr: bytes = b"", **members: Any) -> AgentResult:
    stdout = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return parse(AcpAgent(SPEC), request(**members), ended, stdout, stderr)


def result(stop: str = "end_turn", text: str = "") -> dict[str, Any]:
    return {"type": "result", "stop_reason": stop, "text": text}


def error(kind: str, message: str, code: int | None = None) -> dict[str, Any]:
    return {"type": "error", "kind": kind, "message": message, "code": code}


def test_prepare_is_our_side_of_the_conversation_with_the_order_as_a_file() -> None:
    asked = request(
        "do\udcff",
        mode="read",
        context=(ContextFile(path="a\udcff"),),
        write=("src/**",),
        protect=("x",),
        endpoint="http://p",
    )
    spec = msgspec.structs.replace(
        SPEC,
        args=("--acp", "--url", "{base_url}"),
        env={"U": "{base_url}"},
        files={"home/.x/s.json": "{}"},
        key_env="K",
        model="m",
    )
    invocation = AcpAgent(spec).prepare(asked)
    assert invocation.argv == (sys.executable, "-P", "-m", "branchline.agents.acp_runner", "/f/acp.json")
    assert invocation.env == {"U": "http://p"}
    assert invocation.pass_env == ("K",)
    assert invocation.files["home/.x/s.json"] == "{}"
    assert order_of(AcpAgent(spec), asked) == {
        "argv": [sys.executable, "--acp", "--url", "http://p"],
        "worktree": "",
        "prompt": "do?",
        "mode": "read",
        "model": "m",
        "context": [{"path": "a\udcff"}],
        "write": ["src/**"],
        "protect": ["x"],
    }


def test_a_model_that_is_an_argument_is_not_asked_for_again() -> None:
    agent = AcpAgent(msgspec.structs.replace(SPEC, args=("-m", "{model}"), model="m"))
    assert order_of(agent, request())["argv"][1:] == ["-m", "m"]
    assert order_of(agent, request())["model"] == ""


def test_an_endpoint_can_be_set_if_the_configuration_says_where() -> None:
    assert AcpAgent(SPEC).abilities == {"edit", "read", "usage", "stream"}
    assert "endpoint" in AcpAgent(msgspec.structs.replace(SPEC, env={"URL": "{base_url}/v1"})).abilities


def test_without_a_program_there_is_no_agent() -> None:
    agent = AcpAgent(AgentSpec(id="acp", use="acp"))
    assert not agent.probe().available
    assert "program: gemini" in agent.probe().hint
    with pytest.raises(InvalidInput, match="no program that speaks ACP"):
        agent.prepare(request())


def test_probe_looks_for_the_program() -> None:
    missing = AcpAgent(msgspec.structs.replace(SPEC, program="no-such-agent", install="npm install it")).probe()
    assert (missing.available, missing.hint == "npm install it" or find_spec("acp") is None) == (False, True)


@needs_library
def test_probe_tells_a_version_and_whether_we_test_with_it() -> None:
    assert AcpAgent(SPEC).probe().version.startswith("3.")
    assert AcpAgent(SPEC).probe().tested is None
    assert AcpAgent(msgspec.structs.replace(SPEC, tested=("3.0", "4.0"))).probe().tested is True
    assert AcpAgent(msgspec.structs.replace(SPEC, tested=("1.0", "2.0"))).probe().tested is False


@pytest.mark.parametrize(
    ("stop", "status", "kind"),
    [
        ("end_turn", AgentStatus.OK, ""),
        ("refusal", AgentStatus.REFUSED, ""),
        ("max_turn_requests", AgentStatus.LIMIT, "turns"),
        ("max_tokens", AgentStatus.LIMIT, ""),
        ("cancelled", AgentStatus.MODEL_ERROR, ""),
    ],
)
def test_why_it_stopped_is_the_status(stop: str, status: AgentStatus, kind: str) -> None:
    found = read({"type": "session", "id": "s"}, result(stop))
    assert (found.status, found.error_class, found.session_id) == (status, kind, "s")
    assert bool(found.message) is (status is not AgentStatus.OK)


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        (error("agent", "no", 401), AgentStatus.MODEL_ERROR, "auth"),
        (error("agent", "Internal error: 429 slow down", -32603), AgentStatus.MODEL_ERROR, "rate_limit"),
        (error("agent", "authentication required: log in", -32000), AgentStatus.MODEL_ERROR, "auth"),
        (error("agent", "what", -32603), AgentStatus.MODEL_ERROR, ""),
        (error("missing", "cannot run x"), AgentStatus.MODEL_ERROR, "bad_request"),
        (error("unsupported", "it has no mode"), AgentStatus.MODEL_ERROR, "bad_request"),
        (error("ended", "x ended"), AgentStatus.CRASHED, ""),
        (error("protocol", "what"), AgentStatus.CRASHED, ""),
    ],
)
def test_an_error_has_its_class(line: dict[str, Any], status: AgentStatus, kind: str) -> None:
    found = read(line, ended=FAILED)
    assert (found.status, found.error_class, found.message) == (status, kind, line["message"])


def test_denials_are_told_once_each() -> None:
    denied = {"type": "denied", "kind": "edit", "title": "t", "paths": ["/w/a.py"], "reason": "protected"}
    shell = {"type": "denied", "kind": "execute", "title": "rm x", "paths": [], "reason": "this attempt may only read"}
    found = read(denied, shell, denied, {"type": "text", "text": "then not"}, result())
    assert found.denials == ("edit a.py: protected", "execute rm x: this attempt may only read")
    assert found.status is AgentStatus.OK


def test_who_stops_at_a_denial_has_not_done_its_work() -> None:
    denied = {"type": "denied", "kind": "edit", "title": "t", "paths": ["a"], "reason": "protected"}
    failed = {"type": "tool", "kind": "edit", "title": "t", "paths": ["a"], "status": "failed"}
    for stop in ("end_turn", "cancelled"):
        assert read(denied, failed, result(stop)).status is AgentStatus.REFUSED
    assert read(denied, failed, {**failed, "status": "completed"}, result()).status is AgentStatus.OK


def test_usage_is_known_or_not() -> None:
    assert read(result()).usage == Usage()
    used = {"type": "usage", "usage": {"input_tokens": 5, "output_tokens": 2, "cached_tokens": None, "cost_usd": 0.25}}
    assert read(used, result()).usage == Usage(input_tokens=5, output_tokens=2, cost_usd=0.25, cost_source="agent")


def test_an_answer_by_a_schema_is_found_in_the_last_message() -> None:
    asked = request(output_schema={})
    assert checked(read(result(text='So: {"a": 1}.')), asked).structured == {"a": 1}
    assert checked(read(result(text='{"a": 1}')), request()).structured is None


def test_progress_tells_the_last_tool_and_the_files() -> None:
    reader = AcpAgent(SPEC).reader(request())
    edit = {"type": "tool", "kind": "edit", "title": "t", "paths": ["/w/a.py"], "status": "in_progress"}
    for line in (
        edit,
        {**edit, "status": "completed"},
        {"type": "wrote", "path": "b.py"},
        {**edit, "paths": ["c"], "status": "failed"},
    ):
        reader.line(json.dumps(line).encode())
    assert (reader.progress.doing, reader.progress.files) == ("edit a.py", ("a.py", "b.py"))


WHOLE = b'{"type": "session", "id": "s"}\n\xff\n{"type": "news"}\n{"type": "result", "stop_reason": "end_turn", "text": "x"}\n'


def test_a_stream_cut_anywhere_has_a_truthful_status() -> None:
    for length in range(len(WHOLE) - 1):
        assert parse(AcpAgent(SPEC), request(), DONE, WHOLE[:length], b"").status is AgentStatus.INVALID_OUTPUT
        crash = parse(AcpAgent(SPEC), request(), FAILED, WHOLE[:length], b"last words\n")
        assert (crash.status, crash.message) == (AgentStatus.CRASHED, "last words")
    assert parse(AcpAgent(SPEC), request(), DONE, WHOLE[:-1], b"").status is AgentStatus.OK


def supervised(
    tmp_path: Path, steps: list[dict[str, Any]], *, kill: KillSwitch | None = None, timeout: float = 60
) -> AgentResult:
    (tmp_path / "w").mkdir(exist_ok=True)
    asked = request(json.dumps(steps), worktree=str(tmp_path / "w"), folder=str(tmp_path / "f"), write=("src/**",))
    return attempt(
        AcpAgent(SPEC),
        asked,
        environ=dict(os.environ),
        kill=kill or KillSwitch(),
        timeout=timeout,
        marker=f"acp-{tmp_path.name}",
        record=tmp_path / "record",
    )


@needs_library
def test_a_real_attempt_writes_inside_its_scope_only(tmp_path: Path) -> None:
    writes = [{"write": {"path": path, "content": "x"}} for path in ("src/a.py", "README.md")]
    found = supervised(tmp_path, writes)
    assert found.status is AgentStatus.OK, found
    assert found.denials == ("edit README.md: outside the workstream's scope",)
    assert [path.name for path in (tmp_path / "w").rglob("*")] == ["src", "a.py"]


@needs_library
def test_modules_of_the_worktree_are_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "w" / "branchline").mkdir(parents=True)
    for name in ("acp.py", "msgspec.py", "branchline/__init__.py"):
        (tmp_path / "w" / name).write_text("raise SystemExit('hijacked')")
    assert supervised(tmp_path, []).status is AgentStatus.OK


@needs_library
def test_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    kill, name = KillSwitch(), token()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "name").write_text(name)

    def pull_when_it_works() -> None:
        soon(lambda: len(running(name)) == 2, 30)
        kill.pull("cancelled")

    thread = threading.Thread(target=pull_when_it_works)
    thread.start()
    found = supervised(tmp_path, [{"stop": {"how": "hang"}}], kill=kill)
    thread.join()
    assert (found.status, found.message) == (AgentStatus.CANCELLED, "stopped: cancelled")
    assert running(name) == []
