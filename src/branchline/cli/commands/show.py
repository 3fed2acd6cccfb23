"""`branchline show`: everything about a run, or about one of its tasks."""

from pathlib import Path
from typing import Any

import click

from branchline.cli.history import History, load
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.cli.task_view import task_lines, task_view
from branchline.core.outcome import workstream_outcomes
from branchline.views import costs, timeline
from branchline.views.recap import integration, shipped
from branchline.views.status import status_word
from branchline.views.text import duration, moment, plain, table

SHORT = 12


@click.command("show")
@run_argument
@click.argument("task", required=False, metavar="[TASK]")
@repo_option
@json_option
def command(*, run: str | None, task: str | None, repo: Path, as_json: bool) -> None:
    """Show everything about a run, or about one of its tasks.

    A run: what it pins, its workstreams, its cost, when each attempt ran. A task: its rounds and attempts, what they
    handed on, the ends of their logs, their files.
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
        "costs": costs.costs(records, state) if state.kind == "pipeline" else None,
        "attempts": timeline.timeline(history.run_id, records).bars,
    }


def _lines(history: History) -> list[str]:
    records, state = history.records, history.state
    word, pins = status_word(state, live=history.live), state.pins
    spent = duration(max(0, records[-1].at - records[0].at))
    out = [f"Run {history.run_id}: {word}, {spent}", *table([("started", moment(state.started_at)), *_pins(pins)])]
    if state.kind == "pipeline":
        titles = {w["id"]: w.get("title", "") for w in pins["plan"]["workstreams"]}
        ends = [(w.id, _word(w.state), titles.get(w.id, ""), w.reason) for w in workstream_outcomes(state)]
        out += ["", "Workstreams", *table([("workstream", "state", "title", ""), *ends])]
        out += ["", "Cost", *table(costs.rows(costs.costs(records, state)))]
    out += ["", "Attempts", *timeline.lines(timeline.timeline(history.run_id, records))]
    return [*out, "", f"  one task    branchline show {history.run_id} TASK", f"  files       {history.paths.run_dir}"]


def _word(state: str) -> str:
    return "landed" if state == "COMPLETED" else state.lower()


def _pins(pins: dict[str, Any]) -> list[tuple[str, str]]:
    """What record 0 fixed, in words."""
    versions = pins.get("versions") or {k: v for k, v in pins.items() if isinstance(v, str)}
    tools = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "host")
    rows = [("with", tools), ("on", str(versions.get("host", "")))]
    if "plan" in pins:
        dirty = " (the checkout had uncommitted changes, which are not part of it)" if pins["dirty"] else ""
        rows = [
            ("goal", plain(pins["plan"].get("goal", "")) or "-"),
            ("base", f"{pins['base'][:SHORT]} of {pins['target'] or 'a detached HEAD'}{dirty}"),
            ("plan", f"sha256 {pins['plan_digest'][:SHORT]}"),
            ("settings", f"sha256 {pins['settings_digest'][:SHORT]}"),
            *rows,
        ]
    return rows
