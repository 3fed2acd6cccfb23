"""Hypothesis strategies that tests share: any value of a msgspec type, graphs of tasks, plans."""

import copy
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, cast, get_args

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from branchline.core.budget import Budget
from branchline.core.events import AnyEvent, RunPolicy, RunStarted, Transition
from branchline.core.graph import Task, TaskResources, Trigger
from branchline.core.model.manifest import Form, Mode
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.retry import RetryOverride, RetryPolicy
from branchline.core.run_state import RunState, TaskRecord
from branchline.core.scheduler import Wanted
from branchline.core.states import State
from branchline.ledger.log import Ledger
from branchline.ledger.paths import RunPaths
from branchline.ledger.seal import sealed

IDS = st.text("abcXYZ019_.-", min_size=1, max_size=8)

# What os.fsdecode makes of any bytes: every character but surrogates, and U+DC80 to U+DCFF for what is not UTF-8.
PATHS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=8
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(2**53), 2**53)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | NUMBERS | PATHS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PATHS, inner, max_size=3),
    max_leaves=4,
)


def _integers(kind: inspect.IntType) -> st.SearchStrategy[int]:
    return st.integers(kind.ge if kind.ge is not None else -(2**53), kind.le if kind.le is not None else 2**53)


def _floats(kind: inspect.FloatType) -> st.SearchStrategy[float]:
    low = kind.gt if kind.gt is not None else kind.ge
    return st.floats(low, kind.le, exclude_min=kind.gt is not None, allow_nan=False, allow_infinity=False)


def _struct(kind: inspect.StructType) -> st.SearchStrategy[Any]:
    required = {field.name: of(field.type) for field in kind.fields if field.required}
    optional = {field.name: of(field.type) for field in kind.fields if not field.required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda fields: kind.cls(**fields))


BY_KIND: dict[type[inspect.Type], Callable[[Any], st.SearchStrategy[Any]]] = {
    inspect.AnyType: lambda _: JSON,
    inspect.NoneType: lambda _: st.none(),
    inspect.BoolType: lambda _: st.booleans(),
    inspect.IntType: _integers,
    inspect.FloatType: _floats,
    inspect.StrType: lambda kind: IDS if kind.pattern else PATHS,
    inspect.LiteralType: lambda kind: st.sampled_from(kind.values),
    inspect.EnumType: lambda kind: st.sampled_from(list(kind.cls)),
    inspect.UnionType: lambda kind: st.one_of([of(member) for member in kind.types]),
    inspect.VarTupleType: lambda kind: st.lists(of(kind.item_type), min_size=kind.min_length or 0, max_size=3).map(
        tuple
    ),
    inspect.DictType: lambda kind: st.dictionaries(of(kind.key_type), of(kind.value_type), max_size=3),
    inspect.StructType: _struct,
}


def of(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Any value of a msgspec type that survives JSON."""
    return st.deferred(lambda: BY_KIND[type(kind)](kind))


def events() -> st.SearchStrategy[AnyEvent]:
    """Any event of any type, not necessarily one that makes sense."""
    return st.one_of([of(inspect.type_info(kind)) for kind in get_args(AnyEvent)])


def _some_of(names: Sequence[str], most: int) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), max_size=most, unique=True) if names else st.just([])


@st.composite
def task_graphs(draw: st.DrawFn, max_size: int = 10) -> tuple[Task, ...]:
    """Tasks whose dependencies form no cycle, in any order, with every rule a task can have but a condition."""
    size = draw(st.integers(1, max_size))
    names = draw(st.permutations([f"t{number}" for number in range(size)]))
    tasks = []
    for number, name in enumerate(names):
        tasks.append(
            Task(
                id=name,
                dependencies=tuple(draw(_some_of(names[:number], 3))),
                priority=draw(st.integers(-2, 2)),
                parallel_group=draw(st.sampled_from([None, None, "one", "two", "free"])),
                resources=TaskResources(cpu=draw(st.sampled_from([0, 1, 2])), mem_mb=draw(st.sampled_from([0, 256]))),
                trigger=cast("Trigger", draw(st.sampled_from(["completed"] * 3 + list(get_args(Trigger))))),
                retry=draw(st.sampled_from([None, None, RetryOverride(max_attempts=1), RetryOverride(max_attempts=4)])),
            )
        )
    return tuple(draw(st.permutations(tasks)))


POLICIES = st.builds(
    RunPolicy,
    max_parallel=st.integers(1, 5),
    groups=st.just({"one": 1, "two": 2}),
    cpu=st.sampled_from([None, 1.0, 2.0, 3.0]),
    mem_mb=st.sampled_from([None, 255.0, 512.0]),
    retry=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 3),
        backoff=st.sampled_from(cast("list[Literal['fixed', 'linear']]", ["fixed", "linear"])),
        base_seconds=st.sampled_from([0.0, 1.0]),
        by_class=st.sampled_from([{}, {"flaky": RetryOverride(max_attempts=4)}]),
    ),
    repair_rounds=st.integers(0, 2),
)


BUDGETS = st.builds(
    Budget,
    attempt=st.sampled_from([None, 0.5, 2.0]),
    workstream=st.sampled_from([None, 1.0, 3.0]),
    run=st.sampled_from([None, 1.0, 4.0, 30.0]),
    unknown=st.sampled_from(cast("list[Literal['refuse', 'allow']]", ["refuse", "allow"])),
)


def workstream(name: str, *depends_on: str, priority: int = 0) -> Workstream:
    """A workstream that may write anywhere."""
    return Workstream(id=name, depends_on=depends_on, priority=priority, scope=Scope(write=("**",)))


def plan(*workstreams: Workstream | str) -> Plan:
    """A plan of workstreams, given as such or by name alone."""
    made = tuple(workstream(item) if isinstance(item, str) else item for item in workstreams)
    return Plan(version=1, workstreams=made)


@st.composite
def plans(draw: st.DrawFn, max_size: int = 4) -> Plan:
    """Plans whose workstreams build on each other without a cycle, in any order."""
    names = [f"w{number}" for number in range(draw(st.integers(1, max_size)))]
    made = []
    for number, name in enumerate(names):
        wanted = draw(_some_of(names[:number], 2))
        made.append(workstream(name, *wanted, priority=draw(st.integers(-1, 1))))
    return plan(*draw(st.permutations(made)))


def started(*tasks: Task, policy: RunPolicy | None = None, kind: Literal["pipeline", "graph"] = "graph") -> RunStarted:
    """Record 0 of a run of these tasks."""
    return RunStarted(kind=kind, started_at=1_700_000_000_000, tasks=tasks, policy=policy or RunPolicy())


def begun(root: Path, run_id: str, at: int) -> None:
    """A record of a run below `root`, that has just begun."""
    paths = RunPaths(root, run_id)
    paths.make()
    with Ledger(paths, epoch=1, clock=lambda: at) as ledger:
        ledger.append([sealed(started(Task(id="t")), paths)])


def begins(name: str, attempt: int = 1, reserved_usd: float | None = None) -> Transition:
    """The event that a waiting task's attempt begins."""
    fields: dict[str, Any] = {"attempt": attempt, "reserved_usd": reserved_usd}
    return Transition(task_id=name, old_state=State.PENDING, new_state=State.RUNNING, **fields)


def cancelled(record: TaskRecord, reason: str, error_class: str = "") -> Transition:
    """The event that a task is cancelled where it stands."""
    fields: dict[str, Any] = {"attempt": record.attempt, "reason": reason, "error_class": error_class}
    return Transition(task_id=record.task.id, old_state=record.state, new_state=State.CANCELLED, **fields)


def beginning(wanted: Iterable[Wanted]) -> list[str]:
    """The tasks whose attempts begin, by id."""
    return [one.task_id for one in wanted if isinstance(one, Transition) and one.new_state == State.RUNNING]


def changed(task: Task, **fields: Any) -> Task:
    """The task with other fields."""
    return msgspec.structs.replace(task, **fields)


MODES: tuple[Mode, ...] = ("outline", "excerpt", "full")


@st.composite
def forms(draw: st.DrawFn, largest: int = 20_000) -> tuple[Form, ...]:
    """One to three forms of a file, each costing as much as the one before or more."""
    modes = draw(st.lists(st.sampled_from(MODES), min_size=1, max_size=3, unique=True))
    steps = draw(st.lists(st.integers(0, largest // 3), min_size=len(modes), max_size=len(modes)))
    ordered = sorted(modes, key=MODES.index)
    return tuple(Form(mode=mode, tokens=tokens) for mode, tokens in zip(ordered, accumulate(steps), strict=True))


def after(state: RunState, *events: AnyEvent) -> RunState:
    """A copy of the state that has taken the events in."""
    made = copy.deepcopy(state)
    for event in events:
        made.apply(event)
    return made
