"""What one seed asks for: the request, the policy, how its agents behave, what people and the machine do to it."""

import random
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec

from branchline.core.budget import Budget
from branchline.core.events import RunPolicy, RunStarted
from branchline.core.graph import Condition, Task, TaskResources, Trigger
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.retry import RetryOverride, RetryPolicy

START = 1_700_000_000_000
BASE, TARGET = "base", "refs/heads/main"
CLASSES = ("error", "flaky", "timeout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The fixed parts of one simulated run. Rates are probabilities."""

    started: RunStarted
    plan: Plan | None
    answer: Plan | Literal["no"]
    on_conflict: str
    ship: str
    failing: float
    sloppy: float
    shared: float
    deadly: float
    trouble: float
    disturbed: float
    guarded: float
    asked: bool


def story(seed: int) -> Story:
    """The story of a seed."""
    chance = random.Random(seed)
    policy = _policy(chance)
    if chance.random() < 0.15:
        return _told(chance, _started("graph", _tasks(chance), policy), None)
    plan = _plan(chance)
    planned = chance.random() < 0.25
    tasks = planning_graph() if planned else task_graph(plan)
    pins: dict[str, object] = {"base": BASE, "target": TARGET}
    if not planned:
        pins["plan"] = as_json(plan)
    return _told(chance, _started("pipeline", tasks, policy, pins), plan)


def _told(chance: random.Random, started: RunStarted, plan: Plan | None) -> Story:
    calm = chance.random() < 0.2
    return Story(
        started=started,
        plan=plan,
        answer="no" if chance.random() < 0.2 else _plan(chance),
        on_conflict=chance.choice(("drop", "drop", "repair", "abort")),
        ship=chance.choice(("merge", "merge", "branch")),
        failing=0 if calm else chance.choice((0.02, 0.1, 0.3)),
        sloppy=0 if calm else chance.choice((0.05, 0.3)),
        shared=chance.choice((0.0, 0.2, 0.6)),
        deadly=chance.choice((0.0, 0.5, 0.5, 0.9)),
        trouble=chance.choice((0.0, 0.0, 0.01)),
        disturbed=chance.choice((0.0, 0.3, 0.6)),
        guarded=chance.choice((0.0, 0.0, 0.3)),
        asked=chance.random() < 0.1,
    )


def _started(
    kind: Literal["pipeline", "graph"],
    tasks: tuple[Task, ...],
    policy: RunPolicy,
    pins: dict[str, object] | None = None,
) -> RunStarted:
    return RunStarted(kind=kind, started_at=START, tasks=tasks, policy=policy, pins=pins or {})


def _policy(chance: random.Random) -> RunPolicy:
    by_class = {"flaky": RetryOverride(max_attempts=4)} if chance.random() < 0.3 else {}
    return RunPolicy(
        max_parallel=chance.choice((1, 2, 3, 4, 8, 64)),
        groups={"one": 1, "two": 2},
        cpu=chance.choice((None, None, 2.0)),
        retry=RetryPolicy(
            max_attempts=chance.randrange(1, 4),
            backoff=chance.choice(("fixed", "linear", "exponential")),
            base_seconds=chance.choice((0.0, 1.0, 60.0)),
            jitter_seconds=chance.choice((0.0, 5.0)),
            by_class=by_class,
        ),
        repair_rounds=chance.randrange(3),
        repair_ms=chance.choice((None, None, 60_000)),
        budget=_budget(chance),
        paid_steps=("planning", "execute", "code_gate") if chance.random() < 0.5 else ("planning", "execute"),
        approve_plan=chance.random() < 0.5,
    )


def _budget(chance: random.Random) -> Budget:
    if chance.random() < 0.5:
        return Budget()
    return Budget(
        attempt=chance.choice((None, 0.5, 2.0)),
        workstream=chance.choice((None, 1.0, 3.0)),
        run=chance.choice((None, 1.0, 4.0, 30.0)),
        unknown=chance.choice(("refuse", "allow")),
    )


def as_json(plan: Plan) -> dict[str, Any]:
    """A plan as a ledger gives it back: lists, no tuples."""
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plan))
    return made


def _plan(chance: random.Random) -> Plan:
    names = [f"w{number}" for number in range(chance.choice((1, 1, 2, 2, 2, 3, 3, 4)))]
    made = []
    for number, name in enumerate(names):
        wanted = chance.sample(names[:number], min(number, chance.choice((0, 0, 1, 2))))
        scope = Scope(write=("**",))
        made.append(Workstream(id=name, depends_on=tuple(wanted), priority=chance.randrange(-1, 2), scope=scope))
    chance.shuffle(made)
    return Plan(version=1, workstreams=tuple(made))


def _tasks(chance: random.Random) -> tuple[Task, ...]:
    names = [f"t{number}" for number in range(chance.randrange(1, 12))]
    chance.shuffle(names)
    made = []
    for number, name in enumerate(names):
        wanted = tuple(chance.sample(names[:number], min(number, chance.randrange(4))))
        condition = None
        if wanted and chance.random() < 0.15:
            condition = Condition(task=wanted[0], output="eligible", not_equals=0)
        triggers = ("completed", "completed", "completed", "completed_or_skipped", "ended", "always")
        made.append(
            Task(
                id=name,
                dependencies=wanted,
                priority=chance.randrange(-2, 3),
                parallel_group=chance.choice((None, None, "one", "two", "free")),
                resources=TaskResources(cpu=chance.choice((0, 0, 1, 2))),
                timeout_seconds=chance.choice((None, None, 5.0, 60.0)),
                when=condition,
                trigger=cast("Trigger", chance.choice(triggers)),
                on_failure="continue" if chance.random() < 0.9 else "stop",
                retry=chance.choice((None, None, RetryOverride(max_attempts=1), RetryOverride(max_attempts=4))),
            )
        )
    chance.shuffle(made)
    return tuple(made)
