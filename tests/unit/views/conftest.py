"""Ledgers of runs that never happened: `decide` drives them, a table says how each attempt ends."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import pytest

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.graph import Task
from branchline.core.ids import ulid
from branchline.core.model.agent import Usage
from branchline.core.model.forecast import Collision
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.model.verdict import GateOutcome, Outcome
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.retry import RetryPolicy
from branchline.core.run_state import RunState
from branchline.core.scheduler import KillAttempt, Wanted, decide, wake_at
from branchline.core.states import State
from branchline.ledger.codec import Record

START = 1_795_000_000_000
RUN = ulid(START, 7)
POLICY = e.RunPolicy(retry=RetryPolicy(max_attempts=2, base_seconds=2), repair_rounds=2)


@dataclass(frozen=True)
class End:
    """How an attempt ends, and after how many milliseconds."""

    state: State = State.COMPLETED
    after: int = 1000
    reason: str = ""
    error_class: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    hint: str = ""
    facts: tuple[f.Fact, ...] = ()


Story = Mapping[str, tuple[End, ...]]
Told = Mapping[str, Sequence[Mapping[str, Any]]]


def as_story(told: Told) -> Story:
    """Attempts by task id, each with the fields of `End` that matter."""
    return {name: tuple(End(**end) for end in ends) for name, ends in told.items()}


class Simulator:
    """Runs a graph on paper: time passes, attempts end as the story says (by id; default: completed after 1 s)."""

    def __init__(self, kind: Literal["pipeline", "graph"], tasks: tuple[Task, ...], story: Story) -> None:
        self.story, self.now, self.state = story, START, RunState()
        self.records: list[Record] = []
        self.due: dict[str, int] = {}
        pins = {"plan": msgspec.to_builtins(PLAN)} if kind == "pipeline" else {}
        self.append(e.RunStarted(kind=kind, started_at=START, tasks=tasks, policy=POLICY, pins=pins))

    def append(self, *happened: e.AnyEvent) -> None:
        for event in happened:
            self.state.apply(event)
            seq = len(self.records)
            self.records.append(Record(seq=seq, epoch=1, id=ulid(self.now, seq), at=self.now, run_id=RUN, event=event))

    def run(self) -> list[Record]:
        while self.state.end is None and not (self.state.awaiting and not self.due):
            if todo := decide(self.state, self.now):
                for wanted in todo:
                    self.perform(wanted)
                if not all(isinstance(one, e.Transition) and one.new_state == State.RUNNING for one in todo):
                    continue
            times = [*self.due.values(), *filter(None, [wake_at(self.state, self.now)])]
            if self.state.end is None:
                self.now = min(times)
                for name in sorted(n for n, at in self.due.items() if at <= self.now):
                    self.finish(name)
        return self.records

    def move(self, name: str, new: State, **more: Any) -> None:
        record = self.state.records[name]
        attempt = record.attempt + (new == State.RUNNING)
        self.append(e.Transition(task_id=name, old_state=record.state, new_state=new, attempt=attempt, **more))

    def perform(self, wanted: Wanted) -> None:
        if isinstance(wanted, KillAttempt):
            del self.due[wanted.task_id]
            self.move(wanted.task_id, State.CANCELLED, reason=wanted.reason)
            return
        self.append(wanted)
        if isinstance(wanted, e.Transition) and wanted.new_state == State.RUNNING:
            self.due[wanted.task_id] = self.now + self.end_of(wanted.task_id).after

    def end_of(self, name: str) -> End:
        ends = self.story.get(name, (End(),))
        return ends[min(self.state.records[name].attempt, len(ends)) - 1]

    def finish(self, name: str) -> None:
        del self.due[name]
        end = self.end_of(name)
        self.append(*end.facts)
        more = {"reason": end.reason, "error_class": end.error_class, "outputs": end.outputs, "hint": end.hint}
        self.move(name, end.state, retryable=end.error_class != "rejected", **more)


PLAN = Plan(
    version=1,
    goal="Greet people in two languages",
    workstreams=tuple(
        Workstream(id=name, title=title, scope=Scope(write=("**",)), depends_on=needs)
        for name, title, needs in (
            ("a", "Say hello", ()),
            ("b", "Say bonjour", ()),
            ("docs", "Describe the greetings", ("a",)),
        )
    ),
)


def _story() -> Story:
    """Gate a rejects, then approves; b times out once and is dropped at the merge; docs builds on a."""
    executed = {
        name: f.ExecuteWsComplete(
            task_id=task,
            workstream=name,
            agent="scripted",
            status="ok",
            tree="7" * 40,
            files=("hello.txt",),
            usage=usage,
        )
        for name, task, usage in (
            ("a", "task_007_execute_a", Usage(input_tokens=1200, output_tokens=300, cost_usd=0.02)),
            ("b", "task_008_execute_b", Usage()),
        )
    }
    rejected = f.Codegate(
        task_id="task_010_gate_a", workstream="a", verdict="rejected", batch="gate/rejected/a-1", tree="7" * 40,
        report="artifacts/gates/a-1.json", reason="tests failed",
    )  # fmt: skip
    approved = f.Codegate(
        task_id="task_010_gate_a_r2", workstream="a", verdict="approved", batch="gate/approved/a-2", tree="8" * 40,
        report="artifacts/gates/a-2.json",
        gates=(GateOutcome(gate="mypy", outcome=Outcome.SKIPPED, reason="mypy is not installed"),),
    )  # fmt: skip
    dropped = {"b": "conflict with a in greetings.txt"}
    branch = f"integration/{RUN}"
    queue = f.MergeQueue(
        task_id="task_019_merge_prep", order=("a", "b", "docs"), excluded={},
        conflicts=(f.Clash(between=("a", "b"), paths=("greetings.txt",)),),
    )  # fmt: skip
    merged = f.IntegrationComplete(
        task_id="task_020_merge", branch=branch, commit="c" * 40, merged=("a", "docs"), dropped=dropped
    )
    shipped = f.ShipComplete(
        task_id="task_022_ship",
        target="main",
        commit="c" * 40,
        tag=f"release/{RUN}",
        merged=("a", "docs"),
        dropped=dropped,
    )
    return {
        "task_001_preflight": (End(after=40),),
        "task_002_run_init": (End(after=15),),
        "task_003_planning": (End(after=22),),
        "task_007_execute_a": (End(after=65_000, facts=(executed["a"],)),),
        "task_008_execute_b": (
            End(State.FAILED, 30_000, "timed out after 30s", "timeout"),
            End(after=20_000, facts=(executed["b"],)),
        ),
        "task_010_gate_a": (End(State.FAILED, 4000, "tests failed", "rejected", facts=(rejected,)),),
        "task_010_gate_a_r2": (End(after=4000, facts=(approved,)),),
        "task_019_merge_prep": (End(after=300, facts=(queue,)),),
        "task_020_merge": (End(facts=(merged,)),),
        "task_022_ship": (End(after=120, facts=(shipped,)),),
    }


@pytest.fixture(scope="session")
def plan() -> Plan:
    return PLAN


@pytest.fixture(scope="session")
def pipeline_run() -> list[Record]:
    """A whole run: a repaired and landed, b dropped at the merge, docs landed; one gate was skipped."""
    return Simulator("pipeline", task_graph(PLAN), _story()).run()


@pytest.fixture(scope="session")
def waiting_run() -> list[Record]:
    """A run without a plan of its own: a planner proposed one after a wrong answer, and nobody has accepted it yet."""
    proposed = f.PlanProposed(
        task_id="task_003_planning",
        plan=msgspec.to_builtins(PLAN),
        digest="d" * 64,
        warnings=("docs/** matches nothing",),
        collisions=(Collision("a", "b", 0.5, ("src/x.py", "src/y.py")), Collision("a", "docs", 0.01, ("README.md",))),
    )
    usage = Usage(input_tokens=900, output_tokens=100, cost_usd=0.03, cost_source="agent")
    answers = tuple(
        f.AgentCalled(
            task_id="task_003_planning", attempt=1, role="planner", agent="claude_code", model="m-1", status=status,
            error_class=error_class, usage=usage, milliseconds=500, folder="f",
        )
        for status, error_class in (("invalid_output", "schema"), ("ok", ""))
    )  # fmt: skip
    simulator = Simulator("pipeline", planning_graph(), {"task_003_planning": (End(facts=(*answers, proposed)),)})
    started = simulator.records[0].event
    assert isinstance(started, e.RunStarted)
    simulator.records, simulator.state = [], RunState()
    policy = msgspec.structs.replace(POLICY, approve_plan=True)
    simulator.append(msgspec.structs.replace(started, pins={"prompt": "Greet people"}, policy=policy))
    return simulator.run()


@pytest.fixture(scope="session")
def drive_pipeline() -> Callable[[Told], list[Record]]:
    """Drives the plan with some attempts told otherwise."""
    return lambda told: Simulator("pipeline", task_graph(PLAN), {**_story(), **as_story(told)}).run()


@pytest.fixture(scope="session")
def drive_graph() -> Callable[[Iterable[Task], Told], list[Record]]:
    """Drives a plain graph."""
    return lambda tasks, told: Simulator("graph", tuple(tasks), as_story(told)).run()


@pytest.fixture(scope="session")
def appended() -> Callable[[Sequence[Record], int, e.AnyEvent], list[Record]]:
    """A ledger with one more event, some milliseconds after its last."""

    def append(records: Sequence[Record], later: int, event: e.AnyEvent) -> list[Record]:
        seq, at = len(records), records[-1].at + later
        return [*records, Record(seq=seq, epoch=1, id=ulid(at, seq), at=at, run_id=RUN, event=event)]

    return append
