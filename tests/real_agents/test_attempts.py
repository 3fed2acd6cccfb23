"""What every real agent does under the supervisor, with a scripted model in the place of a real one."""

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.base import Ability
from branchline.agents.metering.proxy import Proxy
from branchline.core.model.agent import AgentStatus, Limits
from branchline.core.model.pricing import Price
from branchline.core.model.sandbox import Network
from branchline.process.spawn import KillSwitch
from branchline.sandbox.probe import ASKED
from real_agents.model_server import ModelServer
from real_agents.subjects import CALC, DONE, EDIT, READ, REAL, Real, Subject, at_once, processes, subjects

pytestmark = pytest.mark.real_agent
SCHEMA = {
    "type": "object",
    "properties": {"workstreams": {"type": "array", "items": {"type": "string"}}},
    "required": ["workstreams"],
    "additionalProperties": False,
}
ERRORS = {
    400: {"context_too_large"},
    401: {"auth"},
    404: {"unknown_model"},
    429: {"rate_limit"},
    500: {"server_error", "overloaded"},  # Codex says of every 5xx that demand is high
}
TOO_LONG = "prompt is too long: 250000 tokens > 200000 maximum context length"
PASSING = {429, 500}
both = pytest.mark.parametrize("network", [None, "none"], ids=["open", "sandboxed"], indirect=True)
sealed = pytest.mark.parametrize(
    "network",
    [pytest.param(None, id="open", marks=pytest.mark.heavy), pytest.param("none", id="sandboxed")],
    indirect=True,
)
RETRYABLE = {"rate_limit", "server_error", "overloaded"}


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(params=REAL, ids=lambda real: real.name)
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.param
    if not found.package.present:
        pytest.skip(f"{found.package.program} {found.package.version} is not in the cache: make real-agents")
    return found


@pytest.fixture
def network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Network | None:
    """None: there is no sandbox; else the network in it. `REAL_AGENTS_NETWORK=none` puts every test into one."""
    monkeypatch.delenv(ASKED, raising=False)
    named: Any = os.environ.get("REAL_AGENTS_NETWORK")
    found: Network | None = getattr(request, "param", named)
    return found


@pytest.fixture
def subject(real: Real, server: ModelServer, tmp_path: Path, network: Network | None) -> Subject:
    return next(subjects(real, server, tmp_path, network))


def needs(subject: Subject, ability: Ability) -> None:
    if ability not in subject.real.agent.abilities:
        pytest.skip(f"{subject.real.name} cannot: {ability}")


@both
def test_an_edit(subject: Subject) -> None:
    head = subject.head
    result = subject.do(READ, EDIT, DONE)
    assert result.status is AgentStatus.OK, result
    assert "a + b" in subject.calc
    assert subject.changes == [f" M {CALC}"]
    assert subject.head == head
    if "usage" in subject.real.agent.abilities:
        assert result.usage.output_tokens is not None
        assert result.usage.input_tokens is not None
        assert result.usage.input_tokens >= 2000
    assert result.session_id or subject.real.name == "aider"


def test_an_edit_by_way_of_the_metering_proxy(subject: Subject, tmp_path: Path) -> None:
    with Proxy(subject.address, tmp_path, {"*": Price(input=1.0, output=1.0)}) as proxy:
        result = subject.do(READ, EDIT, DONE, endpoint=proxy.endpoint)
        metered = proxy.usage
    assert result.status is AgentStatus.OK, result
    assert "a + b" in subject.calc
    assert metered.cost_source == "metered"
    assert (metered.input_tokens or 0) >= 2000
    assert metered.output_tokens


@pytest.mark.parametrize("network", ["none"], indirect=True)
def test_a_sandbox_of_its_own_can_be_switched_off_in_ours(subject: Subject) -> None:
    needs(subject, "sandbox")
    outside = subject.worktree.parent / "main/NOTES.md"
    before = outside.read_text()
    result = subject.do(READ, {"shell": f"echo x >> {outside}; echo x > shell.txt"}, EDIT, DONE, own_sandbox=False)
    assert result.status is AgentStatus.OK, result
    assert subject.changes == [f" M {CALC}", "?? shell.txt"]
    assert outside.read_text() == before


def test_its_stream_is_followed(subject: Subject) -> None:
    needs(subject, "stream")
    subject.do(READ, EDIT, {**DONE, "hang": 1.0})
    assert any(progress.doing for progress in subject.seen)


@sealed
def test_four_edits_at_once(real: Real, server: ModelServer, tmp_path: Path, network: Network | None) -> None:
    four = list(islice(subjects(real, server, tmp_path, network), 4))
    results = at_once(four, READ, EDIT, DONE)
    assert [result.status for result in results] == [AgentStatus.OK] * 4, results
    assert [one.changes for one in four] == [[f" M {CALC}"]] * 4


@sealed
def test_an_answer_by_a_schema(subject: Subject) -> None:
    needs(subject, "read")
    answer = {"workstreams": ["one", "two"]}
    result = subject.do({"json": answer}, mode="read", schema=SCHEMA)
    assert result.status is AgentStatus.OK, result
    assert result.structured == answer
    assert subject.clean


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"text": "no JSON at all"}, id="text", marks=pytest.mark.heavy),
        pytest.param({"json": {"workstreams": "one"}}, id="wrong"),
    ],
)
def test_an_answer_that_breaks_its_schema(subject: Subject, answer: dict[str, object]) -> None:
    needs(subject, "read")
    result = subject.do(answer, {"text": "I give up."}, mode="read", schema=SCHEMA)
    assert result.status is AgentStatus.INVALID_OUTPUT, result
    assert result.message
    assert result.retryable


@sealed
def test_reading_changes_nothing(subject: Subject) -> None:
    needs(subject, "read")
    write = {"write": {"path": "new.txt", "content": "new"}}
    result = subject.do(READ, EDIT, {"shell": "touch shell.txt"}, write, DONE, mode="read")
    assert subject.clean, result


@pytest.mark.parametrize(
    "status", [pytest.param(one, marks=pytest.mark.heavy if one in {404, 500} else ()) for one in ERRORS]
)
def test_an_error_of_the_model(subject: Subject, status: int) -> None:
    if status in PASSING and subject.real.patient:
        pytest.skip(f"{subject.real.name} tries again for too long")
    result = subject.do({"status": status, "message": TOO_LONG if status == 400 else "", "retry_after": 0})
    assert result.status is AgentStatus.MODEL_ERROR, result
    assert result.error_class in ERRORS[status], result
    assert result.retryable is (result.error_class in RETRYABLE)
    assert result.message
    assert subject.clean


def test_an_error_that_passes(subject: Subject) -> None:
    result = subject.do(READ, {**EDIT, "status": 500, "times": 1}, DONE)
    assert result.status is AgentStatus.OK, result
    assert subject.changes == [f" M {CALC}"]


def test_a_refusal(subject: Subject) -> None:
    if not subject.real.refuses:
        pytest.skip(f"{subject.real.name} does not tell a refusal from an answer")
    result = subject.do({"refuse": "I cannot help with that."})
    assert result.status is AgentStatus.REFUSED, result


def test_a_stream_that_is_cut(subject: Subject) -> None:
    if subject.real.patient:
        pytest.skip(f"{subject.real.name} tries again for too long")
    result = subject.do({"text": "half of this is lost", "cut": True})
    assert result.status is AgentStatus.MODEL_ERROR, result
    assert result.error_class == "connection"
    assert result.retryable


def test_a_budget(subject: Subject) -> None:
    needs(subject, "budget")
    dear = {"shell": "true", "usage": [200_000, 20_000, 0]}
    result = subject.do(dear, dear, dear, DONE, limits=Limits(usd=0.05))
    assert (result.status, result.error_class) == (AgentStatus.LIMIT, "budget"), result
    assert result.usage.cost_usd is not None
    assert result.usage.cost_usd > 0.05


def test_a_limit_of_turns(subject: Subject) -> None:
    needs(subject, "turns")
    result = subject.do(*[{"read": CALC}] * 8, limits=Limits(turns=2))
    assert (result.status, result.error_class) == (AgentStatus.LIMIT, "turns"), result


@pytest.mark.heavy
def test_a_huge_answer(subject: Subject) -> None:
    result = subject.do({"text": "", "huge": 2_000_000})
    assert result.status is AgentStatus.OK, result.status
    assert len(result.notes) < 100_000
    assert subject.clean


@sealed
def test_a_timeout_leaves_no_orphans(subject: Subject) -> None:
    if not subject.real.shell:
        pytest.skip(f"{subject.real.name} runs no commands")
    number = str(1_000_000 + os.getpid())  # seconds to sleep, by which it can be found
    result = subject.do({"shell": f"setsid sleep {number} & sleep {number}"}, DONE, timeout=8)
    assert result.status is AgentStatus.TIMEOUT, result
    assert subject.seen
    assert processes(number) == []
    assert processes(subject.marker) == []


@sealed
def test_a_cancel_ends_it_soon(subject: Subject) -> None:
    kill = KillSwitch()
    threading.Timer(4.0, kill.pull, args=("cancelled",)).start()
    began = time.monotonic()
    result = subject.do(READ, {**EDIT, "hang": 60.0}, kill=kill)
    assert result.status is AgentStatus.CANCELLED, result
    assert time.monotonic() - began < 15
    assert subject.clean
