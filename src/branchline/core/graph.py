"""Tasks, their order and their waves."""

import graphlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from branchline.core.model.plan import Argv, Model, Name
from branchline.core.retry import RetryOverride
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

TaskId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+$", max_length=128)]
Trigger = Literal["completed", "completed_or_skipped", "ended", "always"]
FIRST_ROUND_ID = compiled(r"[A-Za-z0-9_.-]{1,120}")  # leaves room for the suffix of a later round
AnyTask = TypeVar("AnyTask", bound="Task | Mapping[str, Any]")


class CycleError(InvalidInput, ValueError):
    """Tasks that wait for each other; `cycle` lists them, each depending on the next, the first again at the end."""

    def __init__(self, cycle: Sequence[str]) -> None:
        super().__init__(f"the dependencies form a cycle: {' -> '.join(cycle)}", hint="remove one of them")
        self.cycle = tuple(cycle)


class UnknownDependency(InvalidInput, KeyError):
    """A task names a dependency that does not exist."""


class DuplicateTask(InvalidInput, ValueError):
    """Two tasks share an id."""


class TaskResources(Model, frozen=True, kw_only=True):
    """What a task holds while it runs: cores, and megabytes of memory."""

    cpu: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    mem_mb: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Condition(Model, frozen=True, kw_only=True):
    """True when an output of a finished dependency has (or, with `not_equals`, has not) a value."""

    task: TaskId
    output: str
    equals: Any | msgspec.UnsetType = msgspec.UNSET
    not_equals: Any | msgspec.UnsetType = msgspec.UNSET

    def holds(self, outputs: Mapping[str, Any]) -> bool:
        """Whether it holds for the outputs of `task`; a missing output equals nothing."""
        value = outputs.get(self.output, msgspec.UNSET)
        if self.equals is not msgspec.UNSET and value != self.equals:
            return False
        return self.not_equals is msgspec.UNSET or value != self.not_equals


class Output(Model, frozen=True, kw_only=True):
    """An output that a task promises."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "array", "object", "any"] = "any"


class Task(Model, frozen=True, kw_only=True):
    """A node of the graph. `run` is a command; `step`, `workstream`, `round` and `origin` are the pipeline's own.

    `trigger` says which ends of its dependencies let it run: `completed` (all completed), `completed_or_skipped`,
    `ended` (whichever way, unless the run stopped), `always` (even then).
    """

    id: TaskId
    dependencies: tuple[TaskId, ...] = ()
    priority: int = 0
    parallel_group: str | None = None
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0)] | None = None
    resources: TaskResources = TaskResources()
    cache_key: str | None = None
    when: Condition | None = None
    outputs: tuple[Output, ...] = ()
    checkpoint: str | None = None
    run: Argv | None = None
    retry: RetryOverride | None = None
    trigger: Trigger = "completed"
    on_failure: Literal["continue", "stop"] = "continue"
    step: str = ""
    workstream: str = ""
    round: int = 1
    origin: str = ""


class ParallelGroup(Model, frozen=True, kw_only=True):
    """A limit that some tasks share."""

    max_concurrency: Annotated[int, msgspec.Meta(ge=1)]


class Scheduling(Model, frozen=True, kw_only=True):
    """`order` names the only order there is: dependencies, then priority, then id."""

    order: Literal["topological"] = "topological"
    parallel_groups: dict[Name, ParallelGroup] = {}


class TaskFile(Model, frozen=True, kw_only=True):
    """A graph as a file."""

    version: Literal[1, "1.0.0"]
    tasks: Annotated[tuple[Task, ...], msgspec.Meta(min_length=1)]
    scheduling: Scheduling = Scheduling()


class ExecutionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a graph amounts to; reads by attribute or, like its JSON, by key."""

    total_tasks: int
    total_waves: int
    max_parallelism: int
    order: tuple[str, ...]
    waves: tuple[tuple[str, ...], ...]

    def __getitem__(self, key: str) -> Any:
        return msgspec.structs.asdict(self)[key]


def as_tasks(tasks: Iterable[Task | Mapping[str, Any]]) -> tuple[Task, ...]:
    """Tasks from tasks or plain mappings. Raises InvalidInput on a field that is wrong."""
    try:
        return tuple(
            msgspec.convert(msgspec.to_builtins(task) if isinstance(task, Task) else dict(task), Task) for task in tasks
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"a task is not valid: {error}") from error


def sort_ids(dependencies: Mapping[str, Sequence[str]], priority: Mapping[str, int]) -> tuple[str, ...]:
    """Ids in the one order: dependencies first; among the ready, higher priority first, then id ascending.

    Raises UnknownDependency, CycleError. Example: {"c": ["a"], "b": [], "a": []} -> a, b, c.
    """
    for name, wanted in dependencies.items():
        for dependency in wanted:
            if dependency not in dependencies:
                raise UnknownDependency(f"task {name} depends on {dependency!r}, which does not exist")
    sorter = graphlib.TopologicalSorter(dependencies)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        found = error.args[1][:0:-1]  # each depends on the next
        first = found.index(min(found))
        raise CycleError((*found[first:], *found[:first], found[first])) from None
    ready, order = list[tuple[int, str]](), list[str]()
    while sorter.is_active():
        for name in sorter.get_ready():
            heapq.heappush(ready, (-priority[name], name))
        order.append(heapq.heappop(ready)[1])
        sorter.done(order[-1])
    return tuple(order)


def order_ids(tasks: Iterable[Task]) -> tuple[str, ...]:
    """The tasks' ids in the one order. Raises as `index` and `sort_ids` do."""
    by_id = index(tasks)
    return sort_ids({n: t.dependencies for n, t in by_id.items()}, {n: t.priority for n, t in by_id.items()})


def topo_sort(tasks: Iterable[AnyTask]) -> list[AnyTask]:
    """The tasks that were given, the same objects, in the one order (see `sort_ids`).

    Raises UnknownDependency (a KeyError), CycleError, DuplicateTask, InvalidInput.
    Example: [{"id": "b", "dependencies": ["a"]}, {"id": "a"}] -> [{"id": "a"}, {"id": "b", "dependencies": ["a"]}].
    """
    given = tuple(tasks)
    made = as_tasks(given)
    by_id = {task.id: original for task, original in zip(made, given, strict=True)}
    return [by_id[name] for name in order_ids(made)]


def index(tasks: Iterable[Task]) -> dict[str, Task]:
    """Tasks by id. Raises DuplicateTask, InvalidInput (an id, or a condition on a task that is no dependency)."""
    by_id: dict[str, Task] = {}
    for task in tasks:
        if not FIRST_ROUND_ID.fullmatch(task.id):
            raise InvalidInput(f"{task.id!r} is not a task id: 1 to 120 of the characters A-Z a-z 0-9 _ . -")
        if task.when is not None and task.when.task not in task.dependencies:
            raise InvalidInput(f"task {task.id} has a condition on {task.when.task!r}, which is not its dependency")
        if task.id in by_id:
            raise DuplicateTask(f"task id {task.id!r} is used twice")
        by_id[task.id] = task
    return by_id


def execution_plan(tasks: Iterable[Task | Mapping[str, Any]]) -> ExecutionPlan:
    """Order and waves of a graph. A wave holds the tasks whose longest chain of dependencies has the same length."""
    made = as_tasks(tasks)
    order = order_ids(made)
    by_id = {task.id: task for task in made}
    level: dict[str, int] = {}
    for name in order:
        level[name] = 1 + max((level[d] for d in by_id[name].dependencies), default=-1)
    waves: list[list[str]] = [[] for _ in range(1 + max(level.values(), default=-1))]
    for name in order:
        waves[level[name]].append(name)
    return ExecutionPlan(
        total_tasks=len(order),
        total_waves=len(waves),
        max_parallelism=max(map(len, waves), default=0),
        order=order,
        waves=tuple(map(tuple, waves)),
    )
