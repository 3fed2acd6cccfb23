from collections.abc import Callable
from typing import Any

import pytest

from branchline.core.budget import Budget
from branchline.core.events import RunResumed
from branchline.core.facts import AgentCalled
from branchline.core.model.agent import CostSource, Usage
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.costs import Costs, Used, bill, brief, calls, lines, rows, summed

Drive = Callable[..., list[Record]]
TASK = "task_007_execute_a"


def state_of(records: list[Record]) -> RunState:
    return replay(record.event for record in records)


def called(agent: str = "codex", task: str = TASK, workstream: str = "a", **more: Any) -> AgentCalled:
    fields: dict[str, Any] = {
        "attempt": 1,
        "role": "editor",
        "model": "m",
        "status": "ok",
        "milliseconds": 1,
        "folder": "f",
    } | more
    return AgentCalled(task_id=task, agent=agent, workstream=workstream, **fields)


def paid(cost: float, source: CostSource = "agent", **more: int) -> Usage:
    return Usage(input_tokens=1000, output_tokens=100, cost_usd=cost, cost_source=source, **more)


@pytest.fixture
def mixed(drive_pipeline: Drive) -> list[Record]:
    """A planned run: a falls back after an error, b cannot tell, docs is computed; a reviewer reads a."""
    fell_back = (called(status="model_error", usage=Usage(input_tokens=5)), called("aider", usage=paid(0.1)))
    review = called("codex", "task_010_gate_a_r2", role="reviewer", usage=paid(0.25, cached_tokens=400))
    told = {
        TASK: [{"facts": fell_back}],
        "task_008_execute_b": [{"facts": (called("codex", "task_008_execute_b", "b"),)}],
        "task_009_execute_docs": [
            {"facts": (called("codex", "task_009_execute_docs", "docs", usage=paid(0.2, "computed")),)}
        ],
        "task_007_execute_a_r2": [{"facts": (called(task="task_007_execute_a_r2", usage=paid(0.05)),)}],
        "task_010_gate_a_r2": [{"facts": (review,)}],
    }
    return drive_pipeline(told)


def test_ledgers_from_before_agent_called(pipeline_run: list[Record]) -> None:
    found = summed(calls(pipeline_run, state_of(pipeline_run)))
    assert found.cost_usd == Used(known=0.02, unknown_attempts=4)
    assert found.input_tokens == Used(known=1200, unknown_attempts=4)
    assert found.sources == {"agent": 0.02}


def test_nothing_known_is_unknown_and_never_zero(pipeline_run: list[Record]) -> None:
    begun = pipeline_run[:14]
    found = summed(calls(begun, state_of(begun)))
    assert found.cost_usd == Used(known=None, unknown_attempts=2)
    assert {shown for _, shown in rows(found)} == {"unknown"}
    assert [call.status for call in calls(begun, state_of(begun))] == ["timeout", "running"]


def test_a_known_zero_is_zero() -> None:
    free, tokens = Used(known=0.0, unknown_attempts=0), Used(known=12_345, unknown_attempts=1)
    cached = Used(known=345, unknown_attempts=0)
    shown = Costs(
        attempts=2, input_tokens=tokens, cached_tokens=cached, output_tokens=free, cost_usd=free, sources={"agent": 0.0}
    )
    assert rows(shown) == [
        ("cost", "$0.00 (agent)"),
        ("input tokens", "12,345 (345 cached), unknown for 1 attempt"),
        ("output tokens", "0"),
    ]
    assert brief(shown) == ("12k tokens", "$0.00")


def test_no_call_costs_nothing(drive_pipeline: Drive) -> None:
    records = drive_pipeline({"task_001_preflight": [{"state": State.FAILED}]})
    found = summed(calls(records, state_of(records)))
    assert found.attempts == 0
    assert rows(found)[0] == ("cost", "none")


def test_every_call_is_counted_where_it_belongs(mixed: list[Record]) -> None:
    found = bill("RUN", mixed, state_of(mixed))
    assert found.total.attempts == 6
    assert found.total.cost_usd == Used(known=0.6, unknown_attempts=2)
    assert found.total.sources == {"agent": 0.4, "computed": 0.2}
    assert {share.name: share.costs.cost_usd.known for share in found.workstreams} == {"a": 0.4, "b": None, "docs": 0.2}
    assert {share.name: share.costs.attempts for share in found.roles} == {"editor": 5, "reviewer": 1}
    assert {share.name: share.costs.attempts for share in found.agents} == {"codex m": 5, "aider m": 1}
    assert [(call.task_id, call.status) for call in found.unknown if call.workstream == "a"] == [(TASK, "model_error")]
    assert [share.name for share in found.workstreams] == ["a", "b", "docs"]


def test_the_bill_as_text(mixed: list[Record]) -> None:
    text = "\n".join(lines(bill("RUN", mixed, state_of(mixed))))
    assert text.startswith("Run RUN: 6 calls of agents\n  cost           $0.60 ($0.40 agent, $0.20 computed), unknown")
    assert "\n  a           4      3.0k     400+     300+     $0.40+ (agent)\n" in text
    assert "\n  + and something that nobody knows\n" in text
    assert "\nCost unknown: 2 calls\n" in text
    assert f"\n  {TASK}  attempt 1  editor  codex  model_error\n" in text
    assert "Budget" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_budget_says_what_is_left(mixed: list[Record], appended: Callable[..., list[Record]]) -> None:
    budget = Budget(attempt=0.5, workstream=1.0, run=5.0, day=20.0, unknown="allow")
    records = appended(mixed, 1, RunResumed(by="me", budget=budget))
    found = bill("RUN", records, state_of(records))
    limits = {limit.of: limit for limit in found.limits}
    assert list(limits) == ["run", "workstream a", "workstream b", "workstream docs", "attempt", "day"]
    assert limits["run"].counted == pytest.approx(0.6)
    assert limits["run"].left == pytest.approx(4.4)
    assert limits["workstream a"].left == pytest.approx(0.6)
    assert (limits["day"].limit, limits["day"].left) == (20.0, None)
    text = "\n".join(lines(found))
    assert "\n  run              $5.00: $0.60 used, $4.40 left\n" in text
    assert "\n  day              $20.00 for all runs of a day\n" in text
    assert text.endswith("unknown          allow: the run goes on")
