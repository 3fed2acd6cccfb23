"""What is about to be run: its settings, put together, and the plan as a person is asked about it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from branchline.cli.output import is_live, say
from branchline.config.load import load_settings
from branchline.config.settings import Settings
from branchline.core.pipeline import merge_order
from branchline.core.plan import Plan
from branchline.errors import InvalidInput
from branchline.views.text import count, plain, table

if TYPE_CHECKING:
    from branchline.cli.commands.run import Given
    from branchline.engine.pipeline import Request


def settings_for(root: Path, given: "Given") -> Settings:
    """The settings of a repository with what the command line (or its environment) changes. Raises InvalidInput."""
    settings = load_settings(given.config, root=root)
    changes: dict[str, object] = {}
    if given.max_parallel is not None:
        changes["max_parallel"] = given.max_parallel
    if given.agent is not None:
        changes["agent"] = _known_agent(given.agent, settings)
    if given.ship is not None:
        changes["ship"] = msgspec.structs.replace(settings.ship, mode=given.ship)
    return msgspec.structs.replace(settings, **changes)


def _known_agent(name: str, settings: Settings) -> str:
    known = ["scripted", *(agent.id for agent in settings.agents)]
    if name not in known:
        raise InvalidInput(f"there is no agent {name!r}", hint=f"--agent {'|'.join(known)}")
    return name


def agreed(plan: Plan, settings: Settings, request: "Request") -> bool:
    """Show the plan and ask; without a terminal nobody is asked."""
    say(*lines(plan, settings), "")
    if not (is_live(sys.stderr) and sys.stdin.isatty()):
        return True
    base = request.base or settings.base or "the branch that is checked out"
    where = f"and ships to {base}" if settings.ship.mode == "merge" else "and leaves an integration branch"
    answer = click.confirm(f"It starts from {base} {where}. Go on?", default=True, err=True)
    say("")
    return answer


def lines(plan: Plan, settings: Settings) -> list[str]:
    """The plan as text, its workstreams in the order in which they will merge."""
    head = plain(plan.goal) or "A plan without a goal"
    rows = [("", "workstream", "agent", "after", "may write")]
    for number, name in enumerate(merge_order(plan), start=1):
        workstream = plan.workstream(name)
        agent = workstream.agent or settings.agent
        after = ", ".join(workstream.depends_on)
        rows.append((str(number), name, agent, after, " ".join(workstream.scope.write)))
    size = f"{count(len(plan.workstreams), 'workstream')}, at most {count(settings.max_parallel, 'task')} at once"
    gates = ", ".join([*(gate.id for gate in settings.gates), *settings.presets])
    checks = f"gates: {gates}" if gates else "no gates: nothing will be checked"
    return [head, f"  {size}; {checks}", "", *table(rows)]
