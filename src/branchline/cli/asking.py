"""What a person asks for, and what a person is asked: the request's text, and whether a proposed plan is carried out."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from branchline.cli.given_text import STDIN, given_text
from branchline.cli.output import is_live, say
from branchline.cli.plan_text import plan_lines
from branchline.config.canonical import canonical
from branchline.config.load import plan_of
from branchline.config.removed import recorded_settings
from branchline.config.settings import Settings
from branchline.core.model.plan import Plan
from branchline.core.run_state import RunState
from branchline.errors import BranchlineError, InvalidInput
from branchline.views.collisions import collision_lines
from branchline.views.format.text import plain

if TYPE_CHECKING:
    from branchline.ledger.paths import RunPaths


def request_text(prompt: str | None, file: Path | None) -> str:
    """The request as given: the argument, a file, or stdin (`-` as either). Raises InvalidInput if it says nothing."""
    if file is not None and prompt is not None:
        raise click.UsageError("choose one: PROMPT or --prompt-file")
    if STDIN in (prompt, str(file)):
        where, text = "stdin", given_text(None, option="--prompt-file")
    elif file is not None:
        where, text = str(file), given_text(file, option="--prompt-file")
    else:
        where, text = "the prompt", prompt or ""
    if not text.strip():
        raise InvalidInput(f"{where} is empty: there is nothing to plan", hint='branchline run "what to change"')
    return text


def somebody_is_there() -> bool:
    """Whether there is a person to ask."""
    return is_live(sys.stderr) and sys.stdin.isatty()


def decision(paths: "RunPaths", state: RunState) -> Plan | str:
    """Ask what becomes of a proposed plan: the plan to go on with, or `no` or `later`."""
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
            return "no"
        if choice == "l":
            return "later"
        edited = _edited(paths, plan, settings)
        if edited is not None:
            plan = edited
            say("", *plan_lines(plan, settings, state.policy.budget), "")


def proposal(state: RunState) -> tuple[Plan, Settings]:
    """Show the plan that a run waits with; the plan, and the settings that it will be carried out by."""
    assert state.proposed is not None
    plan = msgspec.convert(state.proposed.plan, Plan)
    settings = recorded_settings(state.pins)
    shown = plan_lines(plan, settings, state.policy.budget)
    collisions = collision_lines(state.proposed.collisions)
    say("", *shown, *collisions, *(f"warning: {plain(text)}" for text in state.proposed.warnings), "")
    return plan, settings


def remind(paths: "RunPaths", state: RunState) -> None:
    """Say how the plan is approved as it was edited: by itself, `approve` takes the one that was proposed."""
    if state.proposed is not None and _edited_file(paths).exists():
        say(f"  as edited: branchline approve {paths.run_id} --plan {os.path.relpath(_edited_file(paths))}")


def _edited_file(paths: "RunPaths") -> Path:
    return paths.artifacts / "edited_plan.yaml"


def _edited(paths: "RunPaths", plan: Plan, settings: Settings) -> Plan | None:
    """The plan as somebody left it in $EDITOR; None, with a word on why, if it is no plan. The file stays."""
    file = _edited_file(paths)
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
