"""What every agent must do under the supervisor. Each behaviour is a piece of shell that each agent runs in its way."""

import json
import os
import shlex
import signal
import subprocess
import threading
import time
import tracemalloc
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from branchline.agents.base import Agent, AgentMissing
from branchline.agents.command import CommandAgent
from branchline.agents.scripted import ScriptedAgent
from branchline.agents.supervise import attempt
from branchline.attempt.agent_call import bring_home
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Progress
from branchline.core.model.agent_spec import AgentSpec, Output
from branchline.core.model.plan import Action
from branchline.process.spawn import KillSwitch
from processes import running, token

GRACE = 0.3
LONG = 30.0


@dataclass
class Subject:
    """An agent with a folder of its own to work in."""

    agent: Agent
    worktree: Path
    folder: Path
    record: Path

    def do(
        self,
        shell: str,
        *,
        timeout: float = LONG,
        kill: KillSwitch | None = None,
        environ: Mapping[str, str] | None = None,
        pass_env: tuple[str, ...] = (),
        answer: Any = None,
        schema: dict[str, Any] | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
        cut: Callable[[], str | None] = lambda: None,
    ) -> AgentResult:
        """Have the agent run a piece of shell, and then give an answer."""
        run_id = uuid.uuid4().hex  # the sweep finds processes by it, those of other tests too
        said = () if answer is None else (Action(answer=answer),)
        spoken = "" if answer is None else f"; echo {shlex.quote('@' + json.dumps(answer))}"
        request = AgentRequest(
            run_id=run_id,
            workstream="ws",
            round=1,
            attempt=1,
            prompt=shell + spoken,
            worktree=str(self.worktree),
            folder=str(self.folder),
            script=(Action(run=("sh", "-c", shell)), *said),
            output_schema=schema,
        )
        switch = kill or KillSwitch(grace=GRACE)
        known = dict(os.environ) if environ is None else environ
        return attempt(
            self.agent, request, environ=known, kill=switch, timeout=timeout, pass_env=pass_env,
            marker=f"{run_id}/ws/1", record=self.record, on_progress=on_progress, cut=cut,
        )  # fmt: skip


@pytest.fixture(params=["scripted", "command"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    output = Output(doing="^doing (?P<value>.*)", message="^@(?P<value>.*)")
    shell = AgentSpec(id="shell", command=("sh", "-c", "{prompt}"), output=output)
    agent: Agent = ScriptedAgent() if request.param == "scripted" else CommandAgent(shell)
    worktree = tmp_path / "work tree"
    worktree.mkdir()
    return Subject(agent, worktree, tmp_path / "room", tmp_path / "attempts" / "1")


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_success_is_ok_and_recorded(subject: Subject) -> None:
    result = subject.do("echo hello")
    assert result.status is AgentStatus.OK
    recorded = msgspec.json.decode((subject.record / "result.json").read_bytes(), type=AgentResult)
    assert recorded == result
    assert json.loads((subject.record / "request.json").read_text())["prompt"] == "echo hello"
    argv = json.loads((subject.record / "argv.json").read_text())
    assert argv["argv"][0]
    assert "PATH" in argv["environment"]


def test_it_edits_the_worktree_and_leaves_nothing_else_there(subject: Subject) -> None:
    (subject.worktree / "x.txt").write_text("one\n")
    assert subject.do("echo two >> x.txt").status is AgentStatus.OK
    assert (subject.worktree / "x.txt").read_text() == "one\ntwo\n"
    assert [entry.name for entry in subject.worktree.iterdir()] == ["x.txt"]


def test_failure_says_why(subject: Subject) -> None:
    result = subject.do("exit 3")
    assert result.status is AgentStatus.MODEL_ERROR
    assert "exit code 3" in result.message


@pytest.mark.parametrize("shell", ["sleep 60", "trap '' TERM; while :; do sleep 0.2; done"])
def test_what_hangs_is_stopped_within_time_out_and_grace(subject: Subject, shell: str) -> None:
    began = time.monotonic()
    result = subject.do(shell, timeout=0.4)
    assert result.status is AgentStatus.TIMEOUT
    assert result.message == "stopped after 0.4 s"
    assert time.monotonic() - began < 0.4 + 2.0 + 1.5  # run()'s own grace is 2 s


def test_a_daemon_in_a_session_of_its_own_does_not_survive(subject: Subject) -> None:
    name = token()
    result = subject.do(
        f"setsid sh -c 'trap \"\" TERM; touch there; exec sleep {name}' & while [ ! -e there ]; do sleep 0.01; done"
    )
    assert result.status is AgentStatus.OK
    assert running(name) == []


def test_cancelled_from_another_thread(subject: Subject) -> None:
    kill = KillSwitch(grace=GRACE)
    results: list[AgentResult] = []
    thread = threading.Thread(target=lambda: results.append(subject.do("touch started; sleep 60", kill=kill)))
    thread.start()
    assert eventually((subject.worktree / "started").exists)
    kill.pull("cancelled")
    thread.join(timeout=10)
    assert [result.status for result in results] == [AgentStatus.CANCELLED]


def test_ended_by_a_signal_is_not_success(subject: Subject) -> None:
    # Of the scripted agent it is the child of the action that dies; of a command the agent itself.
    result = subject.do(f"kill -{signal.SIGSEGV.value} $$")
    assert result.status in {AgentStatus.CRASHED, AgentStatus.MODEL_ERROR}
    assert "11" in result.message


def test_ten_megabytes_that_are_no_text(subject: Subject) -> None:
    result = subject.do("yes $(printf '\\377\\033[31m') | head -c 10000000; printf '\\377\\376' >&2")
    assert result.status is AgentStatus.OK
    assert "\x1b" not in result.notes
    logs = (subject.record / "stdout.log", subject.record / "stderr.log")
    assert sum(log.stat().st_size for log in logs) > 10_000_000


FLOODS = {"lines": f"yes {'x' * 99} | head -c 30000000", "one line": "head -c 100000000 /dev/zero"}


@pytest.mark.parametrize("flood", ["lines", pytest.param("one line", marks=pytest.mark.heavy)])
def test_a_flood_of_output_does_not_fill_our_memory(subject: Subject, flood: str) -> None:
    tracemalloc.start()
    try:
        result = subject.do(f"{FLOODS[flood]}; echo; echo the end", timeout=60)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert result.status is AgentStatus.OK
    assert peak < 60_000_000
    assert len(result.notes) <= 20_000
    assert subject.agent.spec.id == "scripted" or result.notes.endswith("the end")


def test_the_stream_is_followed_while_it_runs(subject: Subject) -> None:
    seen: list[str] = []
    kill = KillSwitch(grace=GRACE)

    def look(progress: Progress) -> None:
        seen.append(progress.doing)
        if progress.doing:
            kill.pull("seen")

    result = subject.do("echo doing this; sleep 60", on_progress=look, kill=kill)
    assert result.status is AgentStatus.CANCELLED
    assert seen[-1] in {"this", "run"}


def test_whoever_counts_the_money_can_end_it(subject: Subject) -> None:
    result = subject.do(
        "touch started; sleep 60", cut=lambda: "budget" if (subject.worktree / "started").exists() else None
    )
    assert (result.status, result.error_class) == (AgentStatus.LIMIT, "budget")
    assert not result.retryable


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


@pytest.mark.parametrize(
    ("answer", "status"),
    [({"a": 1}, AgentStatus.OK), ({"a": "x"}, AgentStatus.INVALID_OUTPUT), (None, AgentStatus.INVALID_OUTPUT)],
)
def test_an_answer_is_checked_by_its_schema(subject: Subject, answer: Any, status: AgentStatus) -> None:
    result = subject.do("true", answer=answer, schema=SCHEMA)
    assert result.status is status
    assert result.structured == answer
    assert result.message or status is AgentStatus.OK


def test_a_secret_that_it_prints_is_hidden(subject: Subject) -> None:
    environ = {**os.environ, "MY_API_KEY": "sk-1234567890"}
    shell = 'echo "key $MY_API_KEY."; echo "doing $MY_API_KEY"; echo "key $MY_API_KEY." >&2; exit 3'
    seen: list[str] = []
    result = subject.do(
        shell, environ=environ, pass_env=("MY_API_KEY",), on_progress=lambda progress: seen.append(progress.doing)
    )
    assert seen[-1] in {"[secret]", "run"}
    assert result.status is AgentStatus.MODEL_ERROR
    assert "sk-1234567890" not in msgspec.json.encode(result).decode()
    files = (path for folder in (subject.folder, subject.record) for path in folder.rglob("*") if path.is_file())
    written = [path.read_bytes() for path in files]
    assert not [content for content in written if b"sk-1234567890" in content]
    assert [content for content in written if b"key *" in content or b"key [secret]" in content]


def test_secrets_stay_out_unless_passed(subject: Subject) -> None:
    environ = {**os.environ, "MY_SECRET": "hush", "MY_KEY": "key", "GIT_DIR": "/elsewhere"}
    assert subject.do("env > seen", environ=environ, pass_env=("MY_KEY", "GIT_DIR")).status is AgentStatus.OK
    seen = (subject.worktree / "seen").read_text()
    assert "MY_KEY=key" in seen
    assert "hush" not in seen
    assert "GIT_DIR" not in seen
    assert "key" not in json.loads((subject.record / "argv.json").read_text())["environment"]


def test_the_command_can_be_run_again_by_hand_and_holds_no_secret(subject: Subject) -> None:
    environ = {**os.environ, "MY_KEY": "sk-1234567890"}
    subject.do("echo $HOME $MY_KEY $PWD >> seen", environ=environ, pass_env=("MY_KEY",))
    bring_home(subject.folder, subject.record)
    script = subject.record / "command.sh"
    assert script.stat().st_mode & 0o777 == 0o700
    assert b"sk-1234567890" not in script.read_bytes()
    subprocess.run([script], env={**os.environ, "MY_KEY": "my own"}, cwd="/", check=True)
    assert (subject.worktree / "seen").read_text().splitlines() == [
        f"{subject.folder}/home sk-1234567890 {subject.worktree}",
        f"{subject.record}/home my own {subject.worktree}",
    ]


def test_home_and_temporary_folder_are_private(subject: Subject) -> None:
    assert subject.do("touch $HOME/a $TMPDIR/b").status is AgentStatus.OK
    assert (subject.folder / "home/a").exists()
    assert (subject.folder / "tmp/b").exists()


def test_an_agent_that_wrecks_what_it_can_reach_still_has_a_result(subject: Subject) -> None:
    logs = f"cd '{subject.record}'; rm -f stdout.log result.json; mkfifo stdout.log result.json; mkfifo result.json.new"
    result = subject.do(logs)
    assert result.status in {AgentStatus.OK, AgentStatus.INVALID_OUTPUT}
    assert msgspec.json.decode((subject.record / "result.json").read_bytes(), type=AgentResult) == result
    other = replace(subject, record=subject.record.with_name("2"))
    assert other.do(f"rm -rf '{other.folder}' '{other.record}'").status in {AgentStatus.OK, AgentStatus.INVALID_OUTPUT}


def test_a_missing_program_is_not_worth_a_retry(tmp_path: Path) -> None:
    agent = CommandAgent(AgentSpec(id="ghost", command=("no-such-agent-anywhere", "{prompt}")))
    with pytest.raises(AgentMissing, match=r"ghost.*no-such-agent-anywhere") as caught:
        Subject(agent, tmp_path, tmp_path / "room", tmp_path / "record").do("x")
    assert caught.value.exit_code == 2
    assert "install no-such-agent-anywhere" in caught.value.hint
