"""`branchline show`: everything about a run, or about one of its tasks."""

import json
from collections.abc import Iterable
from typing import Any

import click
import msgspec

from branchline.agents.by_hand import COMMAND, quoted
from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, show
from branchline.core.facts import FILES, PlanComplete
from branchline.core.model.sandbox import sandbox_words
from branchline.core.outcome import workstream_outcomes
from branchline.core.states import State
from branchline.engine.record_files import changed_evidence
from branchline.errors import InvalidInput
from branchline.git.folders import files_below
from branchline.process.output import readable, tail
from branchline.views import costs, timeline
from branchline.views.format.text import clock, count, duration, moment, paragraphs, plain, section, short, table
from branchline.views.recap import landing, sandbox_of, titles
from branchline.views.record import last_at
from branchline.views.status import status_word

TAIL_BYTES = 4000
TAIL_LINES = 15
MOST_FILES = 40


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a log, without what a terminal would act on."""

    path: str
    tail: str


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Times in Unix milliseconds; `files` maps the paths in its folder to their sizes in bytes.

    `commands`: scripts that run the commands of its agents again. `changed`: files that are no longer as the ledger has
    them; who changed them is not known.
    """

    attempt: int
    state: State
    reason: str
    started_at: int
    ended_at: int | None
    folder: str
    files: dict[str, int]
    commands: tuple[str, ...]
    changed: tuple[str, ...]
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
    calls: tuple[costs.Call, ...]
    outputs: dict[str, Any]


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task with all its rounds, the latest last."""

    run_id: str
    task_id: str
    rounds: tuple[Round, ...]


@click.command("show")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@of_run
def command(*, history: History, task: str | None, as_json: bool) -> None:
    """Show everything about a run, or about one of its tasks.

    A run: what it pins, its workstreams, its cost, when each attempt ran. A task: its rounds and attempts, what they
    handed on, the ends of their logs, their files, and the script that runs an agent's command again by hand.
    """
    if task is not None:
        view = task_view(history, task)
        emit(view) if as_json else show(task_lines(view))
        return
    if not as_json:
        show(_lines(history))
        return
    records, state = history.records, history.state
    emit(
        {
            "run_id": history.run_id,
            "run_dir": str(history.paths.run_dir),
            "kind": state.kind,
            "status": status_word(state, live=history.live),
            "reason": state.end.reason if state.end else "",
            "pins": state.pins,
            "policy": state.policy,
            "workstreams": workstream_outcomes(state),
            **landing(records)._asdict(),
            "costs": costs.summed(costs.calls(records, state)) if state.kind == "pipeline" else None,
            "attempts": timeline.attempts(records).all,
        }
    )


def _lines(history: History) -> list[str]:
    records, state = history.records, history.state
    word = status_word(state, live=history.live)
    spent = duration(max(0, last_at(records) - records[0].at))
    out = [f"Run {history.run_id}: {word}, {spent}", *table([("started", moment(state.started_at)), *_pins(history)])]
    if state.kind == "pipeline":
        named = titles(state)
        ends = [
            (w.id, "landed" if w.state == "COMPLETED" else w.state.lower(), named.get(w.id, ""), w.reason)
            for w in workstream_outcomes(state)
        ]
        out += section("Workstreams", table([("workstream", "state", "title", ""), *ends] if ends else []))
        out += section("Warnings", paragraphs(landing(records).warnings))
        out += ["", "Cost", *table(costs.rows(costs.summed(costs.calls(records, state))))]
    out += ["", "Attempts", *timeline.lines(records)]
    return [*out, "", f"  one task    branchline show {history.run_id} TASK", f"  files       {history.paths.run_dir}"]


def _pins(history: History) -> list[tuple[str, str]]:
    """What record 0 fixed, and the plan, in words."""
    state, pins = history.state, history.state.pins
    versions = pins.get("versions") or {k: v for k, v in pins.items() if isinstance(v, str)}
    tools = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "host")
    rows = [("with", tools), ("on", str(versions.get("host", "")))]
    if state.kind == "pipeline":
        dirty = " (the checkout had uncommitted changes, which are not part of it)" if pins["dirty"] else ""
        done = [record.event for record in history.records if isinstance(record.event, PlanComplete)]
        accepted = done[-1] if done else None
        by = f", accepted by {plain(accepted.by)}" if accepted and accepted.by else ""
        rows = [
            ("goal", plain(state.plan.get("goal", "") or pins.get("prompt", "")) or "-"),
            ("base", f"{short(pins['base'])} of {pins['target'] or 'a detached HEAD'}{dirty}"),
            ("plan", f"sha256 {short(accepted.digest)}{by}" if accepted else "none yet"),
            ("settings", f"sha256 {short(pins['settings_digest'])}"),
            *([("sandbox", plain(sandbox_words(fact)))] if (fact := sandbox_of(history.records, state)) else []),
            *rows,
        ]
    return rows


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
    tries, called = timeline.attempts(history.records), costs.calls(history.records, history.state)
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


def _try(history: History, attempt: Any, called: Iterable[costs.Call]) -> Try:
    folder = history.paths.attempt(attempt.task_id, attempt.attempt)
    # The regular files of its folder with their sizes in bytes, the agent's private home apart.
    found = ((path, folder / path) for path in sorted(files_below(folder)))
    sizes = {name: path.stat().st_size for name, path in found if path.is_file() and not path.is_symlink()}
    own = [(name, size) for name, size in sizes.items() if not name.startswith(("home/", "tmp/"))]
    files = dict(own[:MOST_FILES])
    calls = [
        (history.paths.run_dir / one.folder, one) for one in called if one.folder and one.attempt == attempt.attempt
    ]
    changed = tuple(str(at / name) for at, one in calls for name in changed_evidence(at, one.evidence))
    scripts = [str(at / COMMAND) for at, one in calls if COMMAND in one.evidence]
    return Try(
        **{name: getattr(attempt, name) for name in ("attempt", "state", "reason", "started_at", "ended_at")},
        folder=str(folder),
        files=files,
        commands=tuple(path for path in scripts if path not in changed),
        changed=changed,
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
        out += section(
            "CHANGED since the attempt ended: do not trust these files", [plain(path) for path in one.changed]
        )
        for log in one.logs:
            ends = log.tail.rstrip("\n").split("\n")[-TAIL_LINES:]
            out += section(f"The end of {plain(log.path)}", [f"  {plain(text)}" for text in ends])
    out += ["", f"  again    branchline retry {view.run_id} {last.task_id}"]
    return [*out[1:], *(f"  by hand  {quoted(script)}" for one in last.attempts[-1:] for script in one.commands)]
