from dataclasses import dataclass

import msgspec
import pytest

from branchline.core.events import RunPolicy, RunResumed, RunStarted
from branchline.core.facts import AgentCalled
from branchline.core.model.sandbox import ASKED_FOR, SandboxFact
from branchline.core.run_state import RunState, replay
from branchline.views.recap import sandbox_of, sandbox_sections
from branchline.views.record import Timed

HELD = SandboxFact(rung=3, version="0.11.0")
NONE = SandboxFact(rung=1, why="bubblewrap is not installed")


@dataclass(frozen=True)
class Record:
    event: object
    at: int = 0
    seq: int = 0


def state(fact: SandboxFact | None) -> RunState:
    pins = {} if fact is None else {"sandbox": msgspec.to_builtins(fact)}
    return replay([RunStarted(kind="pipeline", started_at=0, tasks=(), policy=RunPolicy(), pins=pins)])


def records(*events: object) -> list[Timed]:
    return [Record(event) for event in events]  # type: ignore[misc] # all of a record that these views look at


def call(agent: str, *hosts: str) -> AgentCalled:
    return AgentCalled(
        task_id="t", attempt=1, role="editor", agent=agent, model="", status="ok", milliseconds=1, folder="f",
        workstream="a", refused_hosts=hosts,
    )  # fmt: skip


def test_the_sandbox_is_that_of_whoever_drove_last() -> None:
    resumed = RunResumed(by="me", sandbox=NONE)
    assert sandbox_of([], state(HELD)) == HELD
    assert sandbox_of(records(resumed, RunResumed(by="me")), state(HELD)) == NONE
    assert sandbox_of([], state(None)) is None


@pytest.mark.parametrize(
    ("fact", "loud"),
    [
        (HELD, False),
        (NONE, True),
        (SandboxFact(rung=1, why=ASKED_FOR), True),
        (SandboxFact(rung=0, why=ASKED_FOR), True),
        (None, False),
    ],
)
def test_none_is_said_aloud_also_where_it_was_asked_for(fact: SandboxFact | None, *, loud: bool) -> None:
    titles = [title for title, _ in sandbox_sections([], state(fact))]
    assert titles == (["NOT SANDBOXED"] if loud else [])


def test_hosts_that_were_refused_are_named_once() -> None:
    told = records(call("codex", "a.org:443", "b.org:443"), call("codex", "a.org:443"), call("aider"))
    ((title, lines),) = sandbox_sections(told, state(HELD))
    assert title.startswith("Not let out")
    assert [line.split() for line in lines] == [["a", "codex", "a.org:443"], ["a", "codex", "b.org:443"]]
