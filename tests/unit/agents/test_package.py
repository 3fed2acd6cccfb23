from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pytest

from branchline.agents.base import Probe
from branchline.agents.package import AdapterFailed, PackagedAgent, loaded
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Progress
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import BranchlineError, InvalidInput
from branchline.process.spawn import Exit

SPEC = AgentSpec(id="mine", use="theirs")
REQUEST = AgentRequest(run_id="r", workstream="a", round=1, attempt=1, prompt="", worktree="/w", folder="/f")
ENDED = Exit(0, None, None, 1.0)


def raising(error: BaseException) -> Any:
    def do(*_: object) -> None:
        raise error

    return do


def agent(**members: Any) -> PackagedAgent:
    inner: Any = SimpleNamespace(**members)
    return PackagedAgent(SPEC, frozenset(), "", inner)


def test_what_works_is_passed_on() -> None:
    result = AgentResult(status=AgentStatus.OK)
    heard: list[bytes] = []
    reader = SimpleNamespace(progress=Progress(doing="x"), line=heard.append, result=lambda *_: result)
    found = agent(probe=lambda: Probe(available=True), reader=lambda _: reader)
    assert found.probe().available
    passed = found.reader(REQUEST)
    passed.line(b"one")
    assert (heard, passed.progress.doing, passed.result(ENDED, b"")) == ([b"one"], "x", result)


@pytest.mark.parametrize("error", [ValueError("bad"), SystemExit(3), RecursionError("deep"), BranchlineError("ours")])
def test_what_it_raises_is_its_own_fault(error: BaseException) -> None:
    broken = agent(probe=raising(error), prepare=raising(error), reader=raising(error))
    for ask in (broken.probe, lambda: broken.prepare(REQUEST), lambda: broken.reader(REQUEST)):
        with pytest.raises(BranchlineError) as caught:
            ask()
        if isinstance(error, BranchlineError):
            assert caught.value is error
        else:
            assert isinstance(caught.value, AdapterFailed)
            assert "agent mine: the adapter 'theirs' failed: " in caught.value.message
            assert "reinstall the package that brings 'theirs'" in caught.value.hint


def test_what_is_not_what_was_asked_for() -> None:
    with pytest.raises(InvalidInput, match="it gave NoneType, not Probe"):
        agent(probe=lambda: None).probe()
    reader = agent(reader=lambda _: SimpleNamespace(progress=7, result=lambda *_: "well")).reader(REQUEST)
    assert reader.progress == Progress()
    assert reader.result(ENDED, b"").message.endswith("it gave str, not AgentResult")


def test_a_reader_that_failed_is_not_asked_again() -> None:
    asked: list[bytes] = []

    def line(data: bytes) -> None:
        asked.append(data)
        raise KeyError(data)

    reader = agent(reader=lambda _: SimpleNamespace(line=line, result=raising(ValueError("later")))).reader(REQUEST)
    reader.line(b"one")
    reader.line(b"two")
    result = reader.result(ENDED, b"")
    assert asked == [b"one"]
    assert result.status is AgentStatus.INVALID_OUTPUT
    assert result.message == "its adapter cannot read what it printed: KeyError: b'one'"


def test_an_entry_point_that_leads_nowhere() -> None:
    with pytest.raises(AdapterFailed, match="No module named 'no_such_module'"):
        loaded(SPEC, EntryPoint("theirs", "no_such_module:X", "branchline.agents"))
