"""One task of a run: its rounds, its attempts, and what is on disk of them."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from branchline.agents.by_hand import COMMAND, quoted
from branchline.cli.history import History
from branchline.core.facts import FILES
from branchline.core.states import State
from branchline.errors import InvalidInput
from branchline.process.output import readable, tail
from branchline.views.costs import Call, calls
from branchline.views.format.text import clock, count, duration, plain, section, table
from branchline.views.timeline import attempts

TAIL_BYTES = 4000
TAIL_LINES = 15
MOST_FILES = 40


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a log, without what a terminal would act on."""

    path: str
    tail: str


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Times in Unix milliseconds; `files` maps the paths in its folder to their sizes in bytes.

    `commands`: scripts that run the commands of its agents again.
    """

    attempt: int
    state: State
    reason: str
    started_at: int
    ended_at: int | None
    folder: str
    files: dict[str, int]
    commands: tuple[str, ...]
    logs: tuple[Log, ...]


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One round of a task: a node of the graph."""

    task_id: str
    step: str
    workstream: str
    round: int
    state: State
    reason: str
    dependencies: tuple[str, ...]
    attempts: tuple[Try, ...]
    calls: tuple[Call, ...]
    outputs: dict[str, Any]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task with all its rounds, the latest last."""

    run_id: str
    task_id: str
    rounds: tuple[Round, ...]


def task_view(history: History, name: str) -> TaskView:
    """The task of that id, of whichever round. Raises InvalidInput with the nearest id."""
    records = history.state.records
    if name not in records:
        from difflib import get_close_matches

        near = get_close_matches(name, records, n=1, cutoff=0.3)
        hint = f"branchline show {history.run_id} {near[0]}" if near else f"branchline graph {history.run_id}"
        raise InvalidInput(f"run {history.run_id} has no task {name!r}", hint=hint)
    origin = records[name].task.origin or name
    family = [r for r in records.values() if (r.task.origin or r.task.id) == origin]
    tries, called = attempts(history.records), calls(history.records, history.state)
    rounds = []
    for record in family:
        task = record.task
        mine = tuple(call for call in called if call.task_id == task.id)
        told, folder = record.handed_on(), history.paths.run_dir  # a fact has paths in the run's folder
        made = tuple(_try(history, attempt, mine) for attempt in tries.of.get(task.id, ()))
        rounds.append(
            Round(
                **{name: getattr(task, name) for name in ("step", "workstream", "round", "dependencies")},
                task_id=task.id,
                state=record.state,
                reason=record.reason,
                attempts=made,
                calls=mine,
                outputs={k: str(folder / v) if record.fact and k in FILES and v else v for k, v in told.items()},
            )
        )
    return TaskView(run_id=history.run_id, task_id=origin, rounds=tuple(rounds))


def _try(history: History, attempt: Any, called: Iterable[Call]) -> Try:
    folder = history.paths.attempt(attempt.task_id, attempt.attempt)
    # The regular files of its folder with their sizes in bytes, the agent's private home apart.
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) if folder.is_dir() else []
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in found}
    own = [(name, size) for name, size in sizes.items() if not name.startswith(("home/", "tmp/"))]
    files = dict(own[:MOST_FILES])
    scripts = [history.paths.run_dir / c.folder / COMMAND for c in called if c.folder and c.attempt == attempt.attempt]
    return Try(
        **{name: getattr(attempt, name) for name in ("attempt", "state", "reason", "started_at", "ended_at")},
        folder=str(folder),
        files=files,
        commands=tuple(str(path) for path in scripts if path.is_file()),
        logs=tuple(
            Log(path=name, tail=readable(tail(folder / name, TAIL_BYTES)))
            for name, size in files.items()
            if size and name.endswith(".log")
        ),
    )


def task_lines(view: TaskView) -> list[str]:
    """The task as text; logs of the last attempt of the last round only."""
    out: list[str] = []
    for round_ in view.rounds:
        where = f" of workstream {round_.workstream}" if round_.workstream else ""
        step = f", step {round_.step}{where}" if round_.step else ""
        out += ["", f"Task {round_.task_id}: {round_.state.lower()}{step}"]
        out += table([("after", ", ".join(round_.dependencies))] if round_.dependencies else [])
        rows: list[tuple[str, ...]] = []
        for one in round_.attempts:
            spent = duration(one.ended_at - one.started_at) if one.ended_at else ""
            rows.append((f"attempt {one.attempt}", one.state.lower(), clock(one.started_at), spent, one.reason))
        for call in (call for call in round_.calls if call.manifest):
            size = f"{count(call.context_files, 'file')} of {call.context_tokens:,} tokens"
            rows.append(("given to", call.agent, "", "", f"{size}: artifacts/manifests/{call.manifest}.json"))
        out += table(rows or ([("", round_.reason)] if round_.reason else []))
    last = view.rounds[-1]
    told = {k: v for k, v in last.outputs.items() if not last.step or v not in ("", [], {}, None)}
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in told.items()}
    if texts:
        out += ["", "Handed on", *table([(key, text) for key, text in texts.items() if "\n" not in text])]
    for key, text in texts.items():
        if "\n" in text:
            out += [f"  {plain(key)}", *(f"    {plain(line)}" for line in text.splitlines()[-TAIL_LINES:])]
    for one in last.attempts[-1:]:
        sizes = [(name, f"{size} bytes") for name, size in one.files.items()]
        out += section(f"Files in {plain(one.folder)}", table(sizes))
        for log in one.logs:
            ends = log.tail.rstrip("\n").split("\n")[-TAIL_LINES:]
            out += section(f"The end of {plain(log.path)}", [f"  {plain(text)}" for text in ends])
    out += ["", f"  again    branchline retry {view.run_id} {last.task_id}"]
    return [*out[1:], *(f"  by hand  {quoted(script)}" for one in last.attempts[-1:] for script in one.commands)]
