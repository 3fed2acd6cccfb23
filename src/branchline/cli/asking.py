"""What a person asks for, and what a person is asked: the request's text, and whether a proposed plan is carried out."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from branchline.cli.given_text import STDIN, given_text
from branchline.cli.output import is_live, say
from branchline.config.canonical import canonical
from branchline.config.load import plan_of
from branchline.config.settings import Settings, recorded_settings
from branchline.core.budget import Budget
from branchline.core.model.forecast import Collision
from branchline.core.model.plan import Plan
from branchline.core.pipeline import merge_order
from branchline.core.run_state import RunState
from branchline.errors import BranchlineError, InvalidInput
from branchline.views.format.text import count, plain, table, wrapped
from branchline.views.status import collision_lines

if TYPE_CHECKING:
    from branchline.ledger.paths import RunPaths

EDITED = "edited_plan.yaml"


def request_text(prompt: str | None, file: Path | None) -> str:
    """The request as given: the argument, a file, or stdin (`-` as either). Raises InvalidInput if it says nothing."""
    if file is not None and prompt is not None:
        raise click.UsageError("choose one: PROMPT or --prompt-file")
    where, text = "stdin" if STDIN in (prompt, str(file)) else str(file or "the prompt"), prompt or ""
    if file is not None or prompt == STDIN:
        text = given_text(file, option="--prompt-file")
    if not text.strip():
        raise InvalidInput(f"{where} is empty: there is nothing to plan", hint='branchline run "what to change"')
    return text


def somebody_is_there() -> bool:
    """Whether there is a person to ask."""
    return is_live(sys.stderr) and sys.stdin.isatty()


def decision(paths: "RunPaths", state: RunState) -> Plan | Literal["later"] | None:
    """Ask what becomes of a proposed plan: the plan to go on with, or None where it is refused, or `later`."""
    plan, settings = proposal(state)
    while True:
        choice = click.prompt(
            "Carry it out? yes, edit, no, later",
            type=click.Choice(("yes", "edit", "no", "later", "y", "e", "n", "l")),
            default="yes",
            show_choices=False,
            err=True,
        )[0]
        if choice == "y":
            return plan
        if choice == "n":
            return None
        if choice == "l":
            return "later"
        edited = _edited(paths, plan, settings)
        if edited is not None:
            plan = edited
            say("", *plan_lines(plan, settings, state.policy.budget), "")


def plan_lines(
    plan: Plan,
    settings: Settings,
    budget: Budget,
    collisions: Iterable[Collision] = (),
    warnings: Iterable[str] = (),
) -> list[str]:
    """The plan as text, its workstreams in the order in which they will merge, and what it may cost."""
    head = wrapped(plan.goal, indent="") or ["A plan without a goal"]
    rows = [("", "workstream", "agent", "after", "what, and the files it may write")]
    for number, name in enumerate(merge_order(plan), start=1):
        workstream = plan.workstream(name)
        agent = workstream.agent or settings.agent
        after = ", ".join(workstream.depends_on)
        files = " ".join(workstream.scope.write) or "every file that is not protected"
        rows.append((str(number), name, agent, after, workstream.title or files))
        if workstream.title:
            rows.append(("", "", "", "", files))
    size = f"{count(len(plan.workstreams), 'workstream')}, at most {count(settings.max_parallel, 'task')} at once"
    gates = ", ".join([*(gate.id for gate in settings.gates), *settings.presets])
    head.append(f"  {size}; " + (f"gates: {gates}" if gates else "no gates: nothing will be checked"))
    if budget.limited:  # what the workstreams may cost at most in their first round
        each = min((one for one in (budget.attempt, budget.workstream) if one is not None), default=None)
        limits = (budget.run, budget.day, None if each is None else each * len(plan.workstreams))
        most = min(limit for limit in limits if limit is not None)
        head.append(f"  it may spend at most ${most:,.2f} before any repair")
    told = [f"warning: {plain(text)}" for text in warnings]
    return [*head, "", *table(rows), *collision_lines(collisions), *told]


def proposal(state: RunState) -> tuple[Plan, Settings]:
    """Show the plan that a run waits with; the plan, and the settings that it will be carried out by."""
    assert state.proposed is not None
    plan = msgspec.convert(state.proposed.plan, Plan)
    settings = recorded_settings(state.pins)
    shown = plan_lines(plan, settings, state.policy.budget, state.proposed.collisions, state.proposed.warnings)
    say("", *shown, "")
    return plan, settings


def _edited(paths: "RunPaths", plan: Plan, settings: Settings) -> Plan | None:
    """The plan as somebody left it in $EDITOR; None, with a word on why, if it is no plan. The file stays."""
    file = paths.artifacts / EDITED
    if not file.exists():
        file.write_text(canonical(plan), encoding="utf-8")
    shown = os.path.relpath(file)
    try:
        click.edit(filename=str(file))
        return plan_of(file, settings)
    except click.ClickException as error:
        again = f"branchline approve {paths.run_id} --plan {shown}"
        say(f"error: the editor failed: {error.format_message()}", f"hint: choose later, edit the file, then: {again}")
    except BranchlineError as error:
        say(f"error: {error.message}", f"hint: choose edit again; the file {shown} keeps what you wrote")
    return None
