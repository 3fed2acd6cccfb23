"""`branchline show`: everything about a run, or about one of its tasks."""

import click

from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, show
from branchline.cli.task_view import task_lines, task_view
from branchline.core.facts import PlanComplete
from branchline.core.model.sandbox import sandbox_words
from branchline.core.outcome import workstream_outcomes
from branchline.views import costs, timeline
from branchline.views.format.text import duration, moment, paragraphs, plain, section, short, table
from branchline.views.recap import landing, sandbox_of, titles
from branchline.views.record import last_at
from branchline.views.status import status_word
from branchline.views.timeline import attempts


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
            "attempts": attempts(records).all,
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
