"""The work of a plain graph's tasks: a Python callable, or a command."""

import hashlib
import json
import math
import os
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from branchline.core.graph import Task, TaskResources
from branchline.core.model.limits import LIMIT_REASONS, UNLIMITED
from branchline.core.run_state import RunState
from branchline.core.work import Failure, Result, Success
from branchline.engine.driver import Job
from branchline.ledger.paths import RunPaths
from branchline.process.containment import Confinement
from branchline.process.spawn import CannotStart, Exit, KillSwitch, run

Implementation = Callable[[str, str], Mapping[str, Any] | None]

GROUPED = msgspec.structs.replace(UNLIMITED, containment="group")
OUTPUTS = "BRANCHLINE_OUTPUTS"
TAIL_BYTES = 2000


def graph_jobs(paths: RunPaths, implementations: Mapping[str, Implementation]) -> Callable[[Task, int, RunState], Job]:
    """The `job` function of a coordinator for a plain graph."""

    def job(task: Task, attempt: int, _state: RunState) -> Job:
        implementation = implementations.get(task.origin or task.id)

        def work(kill: KillSwitch) -> Result:
            cache = None
            if task.cache_key is not None:
                cache = paths.runs / "cache" / f"{hashlib.sha256(task.cache_key.encode()).hexdigest()}.json"
            if cache is not None and (found := _cached(cache)) is not None:
                return Success(outputs=found)
            result: Result
            if implementation is not None:
                try:
                    result = Success(outputs=dict(implementation(paths.run_id, task.origin or task.id) or {}))
                except Exception as error:  # noqa: BLE001 - a user's callable may raise anything; it is that task's failure
                    kind = type(error).__name__
                    result = Failure(f"{kind}: {error}", error_class=kind, traceback=traceback.format_exc())
            elif task.run is not None:
                result = _command(paths, task, attempt, kill)
            else:
                return Failure(f"task {task.id} has no implementation", "no_implementation", retryable=False)
            if cache is not None and isinstance(result, Success):
                cache.parent.mkdir(exist_ok=True)
                aside = cache.with_suffix(f".{os.getpid()}.tmp")
                aside.write_text(json.dumps(dict(result.outputs)), encoding="utf-8")
                aside.rename(cache)
            return result

        return Job(task.id, attempt, work, task.timeout_seconds, killable=implementation is None)

    return job


def _command(paths: RunPaths, task: Task, attempt: int, kill: KillSwitch) -> Result:
    argv = task.run or ()
    folder = paths.attempt(task.id, attempt)
    given = folder / "outputs.json"
    folder.mkdir(exist_ok=True)
    given.unlink(missing_ok=True)  # of a go that was interrupted
    own = {"BRANCHLINE_RUN_ID": paths.run_id, "BRANCHLINE_TASK_ID": task.id, OUTPUTS: str(given)}
    marker = f"{paths.marker}/{task.id}/{attempt}"
    log = folder / "output.log"
    # What a task asked to have is what it may use: its memory, and so many processors for as long as it may run. One that
    # asks for nothing costs no more than its process: what leaves its group is found when the run ends early.
    wanted, limits = task.resources, GROUPED
    if wanted != TaskResources():
        cpu = wanted.cpu * (task.timeout_seconds or 0) or None
        limits = msgspec.structs.replace(UNLIMITED, memory_mb=math.ceil(wanted.mem_mb) or None, cpu=cpu)
    try:
        # The user's own commands get the user's own environment: this graph is as trusted as a Makefile.
        ended = run(
            argv,
            cwd=paths.root,
            env={**os.environ, **own},
            stdout=log,
            stderr=log,
            kill=kill,
            marker=marker,
            confinement=Confinement(limits=limits),
        )
    except CannotStart as error:
        return Failure(error.message, error_class="missing_tool", retryable=False)
    if ended.reason in LIMIT_REASONS:
        return Failure(f"{argv[0]} was stopped: {limits.excess(ended.reason)}", error_class=ended.reason)
    if not ended.ok:
        return _failed(argv, ended, log)
    try:
        return Success(outputs=json.loads(given.read_bytes()) if given.exists() else {})
    except ValueError as error:
        return Failure(f"the outputs it wrote are not JSON: {error}", error_class="invalid_output")


def _failed(argv: tuple[str, ...], ended: Exit, log: Path) -> Failure:
    how = ended.reason or (f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}")
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
        said = file.read().decode("utf-8", "replace").strip()
    kind = ended.reason or ("crashed" if ended.signal else "exit_code")
    return Failure(f"{argv[0]} ended by {how}" + (f": {said[-400:]}" if said else ""), error_class=kind)


def _cached(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
