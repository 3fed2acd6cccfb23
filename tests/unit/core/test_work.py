"""What one piece of work gets and gives survives its bytes, whatever is in it."""

import json

import msgspec
import pytest

from branchline.core.facts import AgentCalled, ApprovalNeeded, Archived, Codegate, WorktreeSaved
from branchline.core.graph import Task
from branchline.core.model.agent import AgentResult, AgentStatus, ContextFile, Usage
from branchline.core.model.manifest import Span
from branchline.core.model.plan import Action, Scope, WriteFile
from branchline.core.model.verdict import GateResult, Outcome, QualityReport
from branchline.core.work import (
    Asked,
    Failure,
    Gating,
    Given,
    StepFailed,
    Success,
    Work,
    WorkOutcome,
    decode,
    encode,
    facts_of,
)
from branchline.errors import BranchlineError

ODD = 'a\udcff\n"é😀'  # names may hold bytes that are no text
ASKED = Asked(
    role="editor",
    agent="x",
    prompt=ODD,
    given=Given(manifest="m", files=(ContextFile(path=ODD, spans=(Span(start=1, end=2),)),), tokens=2),
    timeout=0.1,
    schema={"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
    script=(Action(write=WriteFile(path="a", content=ODD)), "hang"),
    write=("src/**",),
)
WORK = Work(
    run_id="R1",
    task=Task(id="task_005_execute_a", step="execute", workstream="a", round=2),
    attempt=1,
    base="b",
    commit="c",
    tree="t",
    part="review",
    asked=ASKED,
    gating=Gating(phase="batch", changed=(ODD,), folder="gate", beside_others=True),
    scope=Scope(write=("a",)),
    torn=("b",),
    setup={ODD: None, "b": "oid"},
    refused=("x",),
    reserved_usd=0.1,
)
CALLED = AgentCalled(
    task_id="t", attempt=1, role="editor", agent="x", model="m", status="ok", milliseconds=1, folder=ODD, usage=Usage()
)
SAVED = WorktreeSaved(task_id="t", workstream="a", ref="r", commit="c", left_out=(ODD,))


def test_work_survives_its_bytes() -> None:
    data = encode(WORK)
    assert decode(data, Work) == WORK
    assert encode(decode(data, Work)) == data
    assert (data.isascii(), data.count(b"\n"), json.loads(data)["format"]) == (True, 1, 1)


def test_equal_work_has_equal_bytes() -> None:
    turned = msgspec.structs.replace(WORK, setup={"b": "oid", ODD: None})
    assert encode(turned) == encode(WORK)


def test_work_of_another_format_is_refused() -> None:
    with pytest.raises(ValueError, match="2"):
        decode(encode(WORK).replace(b'"format":1', b'"format":2'), Work)


def test_what_comes_of_it_survives_its_bytes() -> None:
    result = AgentResult(status=AgentStatus.OK, structured={"a": [1, None]}, notes=ODD)
    gate = GateResult(gate="g", outcome=Outcome.FAILED, reason=ODD, argv=("a",))
    done = WorkOutcome(
        told=(SAVED, CALLED),
        failure=Failure(ODD, "setup", retryable=False, hint="h", fact=None),
        result=result,
        tree="t",
        left_out=("x",),
        commits_left_out=("y",),
        report=QualityReport(tree="t", passes=1, fixed=("g",), results=(gate,)),
    )
    assert decode(encode(done), WorkOutcome) == done
    assert done.called == (CALLED,)


FACT = Archived(task_id="t", report="r", archive="a")
ASKS = ApprovalNeeded(task_id="t", step="ship", tree="t", base="b", concerns=())
BATCH = Codegate(task_id="t", workstream="a", verdict="rejected", batch="b", tree="t", report="r")


def test_a_step_that_fails_carries_its_failure() -> None:
    failure = Failure("no space", error_class="disk", hint="make room")
    error = StepFailed(failure)
    assert isinstance(error, BranchlineError)
    assert (str(error), error.hint, error.failure) == ("no space", "make room", failure)


def test_facts_stand_in_the_order_in_which_they_are_told_and_what_waits_comes_last() -> None:
    assert facts_of(Success(FACT)) == (FACT,)
    assert facts_of(Success(FACT, ASKS, told=(BATCH,))) == (BATCH, FACT, ASKS)
    assert facts_of(Failure("no")) == facts_of(Success()) == ()
    assert facts_of(Failure("no", fact=BATCH, asks=ASKS, told=(FACT,))) == (FACT, BATCH, ASKS)
