"""Graphs of plain callables or commands: the pipeline's ledger, checkpoints, retries and resume, without git."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from branchline.core.events import RunPolicy, RunStarted
from branchline.core.graph import Scheduling, Task, as_tasks, order_ids
from branchline.core.retry import RetryPolicy
from branchline.core.rounds import reopen_round
from branchline.core.states import State
from branchline.engine.driver import Driver, LocalDriver
from branchline.engine.graph_work import Implementation, graph_jobs
from branchline.engine.inbox import Inbox
from branchline.engine.loop import Coordinator, Observer
from branchline.engine.recover import Held, begin, clock, new_run_id, take_up, versions
from branchline.errors import InvalidInput
from branchline.ledger.log import Fault, read, require
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import find_run


@dataclass(frozen=True, slots=True)
class GraphRun:
    """A graph's run. `states` and `outputs` are by task id; a task that was done again shows its last round."""

    ok: bool
    run_id: str
    run_dir: Path
    states: dict[str, str]
    outputs: dict[str, Mapping[str, Any]]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a run's ledger verifies; if not, where it is wrong first."""

    ok: bool
    records: int
    torn_bytes: int
    fault: Fault | None


def run_graph(  # noqa: PLR0913 - keyword-only options of the public call
    tasks: Iterable[Task | Mapping[str, Any]],
    implementations: Mapping[str, Implementation] | None = None,
    *,
    root: Path | str,
    run_id: str | None = None,
    max_parallel: int = 4,
    retry: RetryPolicy | Mapping[str, Any] | None = None,
    scheduling: Scheduling | Mapping[str, Any] | None = None,
    driver: Driver | None = None,
    observers: tuple[Observer, ...] = (),
) -> GraphRun:
    """Run a graph to its end; `implementations` maps a task id to `callable(run_id, task_id) -> outputs`.

    A callable's exception fails its attempt; the retry policy decides what follows. A task without a callable and
    without `run` fails. Ledger: `<root>/.runs/<run_id>/logs/run.jsonl`. Raises InvalidInput (bad graph, run exists).
    """
    made = as_tasks(tasks)
    order_ids(made)
    policy = _policy(max_parallel, retry, scheduling)
    now = clock()
    paths = RunPaths(Path(root).resolve(), run_id or new_run_id(now))
    started = RunStarted(kind="graph", started_at=now, tasks=made, policy=policy, pins=versions())
    with begin(paths, started) as held:
        return _drive(held, implementations or {}, driver, observers)


def resume(
    run_id: str | None = None,
    implementations: Mapping[str, Implementation] | None = None,
    *,
    root: Path | str,
    driver: Driver | None = None,
    observers: tuple[Observer, ...] = (),
    skip: tuple[str, ...] = (),
) -> GraphRun:
    """Take a graph's run up where it stopped: what is completed stays, what failed is done again.

    `run_id` may be a unique prefix; None is the latest. `skip`: tasks to leave out. Raises InvalidInput, RunBusy,
    LedgerError.
    """
    paths = find_run(Path(root).resolve(), run_id)
    with take_up(paths) as held:
        if held.state.kind != "graph":
            raise InvalidInput(f"run {paths.run_id} is a pipeline run", hint=f"branchline resume {paths.run_id}")
        return _drive(held, implementations or {}, driver, observers, skip)


def verify(run_dir: Path | str) -> Verification:
    """Check a run's ledger: hash chain, order, high-water mark, legal moves. `run_dir` is `<root>/.runs/<run_id>`."""
    folder = Path(run_dir).resolve()
    paths = RunPaths(folder.parent, folder.name, folder.parent)
    reading = read(paths)
    fault = reading.fault
    if fault is None and reading.records:
        require(reading, paths)
    return Verification(fault is None and bool(reading.records), reading.count, reading.torn, fault)


def _policy(
    max_parallel: int, retry: RetryPolicy | Mapping[str, Any] | None, scheduling: Scheduling | Mapping[str, Any] | None
) -> RunPolicy:
    if max_parallel < 1:
        raise InvalidInput(f"max_parallel must be at least 1, not {max_parallel}")
    try:
        groups = msgspec.convert(scheduling or Scheduling(), Scheduling).parallel_groups
        return RunPolicy(
            max_parallel=max_parallel,
            retry=msgspec.convert(retry or RetryPolicy(), RetryPolicy),
            groups={name: group.max_concurrency for name, group in groups.items()},
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the retry policy or the scheduling is not valid: {error}") from error


def _drive(
    held: Held,
    implementations: Mapping[str, Implementation],
    driver: Driver | None,
    observers: tuple[Observer, ...],
    skip: tuple[str, ...] = (),
) -> GraphRun:
    paths = held.ledger.paths
    coordinator = Coordinator(
        ledger=held.ledger,
        state=held.state,
        driver=driver or LocalDriver(),
        job=graph_jobs(paths, implementations),
        inbox=Inbox(paths),
        observers=observers,
    )
    ended = held.state.end is not None  # else it was killed before it could say so, and only that is left
    coordinator.note(*held.resumed)
    if ended and not held.state.open and (added := reopen_round(held.state)):
        coordinator.note(added)
    for name in skip:
        coordinator.skip(name)
    state = coordinator.run()
    current, end = state.current(), state.end
    return GraphRun(
        ok=end is not None and end.status == "succeeded",
        run_id=paths.run_id,
        run_dir=paths.run_dir,
        states={name: str(record.state) for name, record in current.items()},
        outputs={name: record.outputs for name, record in current.items() if record.state == State.COMPLETED},
        reason=end.reason if end else "",
    )
