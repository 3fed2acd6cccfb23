"""`branchline show`: everything about a run, or about one of its tasks."""

from pathlib import Path
from typing import Any

import click

from branchline.cli.history import History, load
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.cli.task_view import task_lines, task_view
from branchline.core.facts import PlanComplete
from branchline.core.model.sandbox import sandbox_words
from branchline.core.outcome import workstream_outcomes
from branchline.views import costs, timeline
from branchline.views.format.text import duration, moment, plain, table, wrapped
from branchline.views.recap import integration, merge_warnings, shipped
from branchline.views.record import last_at
from branchline.views.sandbox import sandbox_of
from branchline.views.status import status_word

SHORT = 12


@click.command("show")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@repo_option
@json_option
def command(*, run: str | None, task: str | None, repo: Path, as_json: bool) -> None:
    """Show everything about a run, or about one of its tasks.

    A run: what it pins, its workstreams, its cost, when each attempt ran. A task: its rounds and attempts, what they
    handed on, the ends of their logs, their files, and the script that runs an agent's command again by hand.
    """
    history = load(repo, run)
    if task is not None:
        view = task_view(history, task)
        emit(view) if as_json else show(task_lines(view))
    elif as_json:
        emit(_data(history))
    else:
        show(_lines(history))


def _data(history: History) -> dict[str, Any]:
    records, state = history.records, history.state
    return {
        "run_id": history.run_id,
        "run_dir": str(history.paths.run_dir),
        "kind": state.kind,
        "status": status_word(state, live=history.live),
        "reason": state.end.reason if state.end else "",
        "pins": state.pins,
        "policy": state.policy,
        "workstreams": workstream_outcomes(state),
        "integration": integration(records),
        "shipped": shipped(records),
        "warnings": merge_warnings(records),
        "costs": costs.costs(records, state) if state.kind == "pipeline" else None,
        "attempts": timeline.timeline(history.run_id, records).bars,
    }


def _lines(history: History) -> list[str]:
    records, state = history.records, history.state
    word = status_word(state, live=history.live)
    spent = duration(max(0, last_at(records) - records[0].at))
    out = [f"Run {history.run_id}: {word}, {spent}", *table([("started", moment(state.started_at)), *_pins(history)])]
    if state.kind == "pipeline":
        titles = {w["id"]: w.get("title", "") for w in state.plan.get("workstreams", ())}
        ends = [
            (w.id, "landed" if w.state == "COMPLETED" else w.state.lower(), titles.get(w.id, ""), w.reason)
            for w in workstream_outcomes(state)
        ]
        if ends:
            out += ["", "Workstreams", *table([("workstream", "state", "title", ""), *ends])]
        if warnings := merge_warnings(records):
            out += ["", "Warnings", *(line for text in warnings for line in wrapped(text, indent="  "))]
        out += ["", "Cost", *table(costs.rows(costs.costs(records, state)))]
    out += ["", "Attempts", *timeline.lines(timeline.timeline(history.run_id, records))]
    return [*out, "", f"  one task    branchline show {history.run_id} TASK", f"  files       {history.paths.run_dir}"]


def _pins(history: History) -> list[tuple[str, str]]:
    """What record 0 fixed, and the plan, in words."""
    state, pins = history.state, history.state.pins
    versions = pins.get("versions") or {k: v for k, v in pins.items() if isinstance(v, str)}
    tools = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "host")
    rows = [("with", tools), ("on", str(versions.get("host", "")))]
    if state.kind == "pipeline":
        dirty = " (the checkout had uncommitted changes, which are not part of it)" if pins["dirty"] else ""
        rows = [
            ("goal", plain(state.plan.get("goal", "") or pins.get("prompt", "")) or "-"),
            ("base", f"{pins['base'][:SHORT]} of {pins['target'] or 'a detached HEAD'}{dirty}"),
            ("plan", _plan(history)),
            ("settings", f"sha256 {pins['settings_digest'][:SHORT]}"),
            *([("sandbox", plain(sandbox_words(fact)))] if (fact := sandbox_of(history.records, state)) else []),
            *rows,
        ]
    return rows


def _plan(history: History) -> str:
    """The plan's digest, and who accepted it; a run may have none yet."""
    done = [record.event for record in history.records if isinstance(record.event, PlanComplete)]
    if not done:
        return "none yet"
    by = f", accepted by {plain(done[-1].by)}" if done[-1].by else ""
    return f"sha256 {done[-1].digest[:SHORT]}{by}"
