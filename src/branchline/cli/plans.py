"""What is about to be run: its settings, put together, and its plan, which a person is asked about."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from branchline.cli.asking import plan_lines, somebody_is_there
from branchline.cli.options import Given
from branchline.cli.output import say
from branchline.config.load import SETTINGS_FILE, load_settings, plan_of, scriptless
from branchline.config.settings import Settings
from branchline.core.model.agent_spec import BUILT_IN
from branchline.core.planning import scopeless
from branchline.errors import InvalidInput

if TYPE_CHECKING:
    from branchline.attempt.run import Run
    from branchline.engine.request import Request


def begun(given: Given, prompt: str, file: Path | None, *, approve: bool) -> "Request":
    """What a run is asked; nothing is written yet. `file`: its plan, if there is one already. Raises InvalidInput."""
    from branchline.engine.request import pin
    from branchline.git.repo import Repo

    repo = Repo.open(given.repo)
    settings = settings_for(repo.root, given)
    if file is None and not has_planner(settings):
        if (repo.root / SETTINGS_FILE).exists():
            hint = f"branchline agents lists those that are installed; name one: --agent NAME, or agent: in {SETTINGS_FILE}"
        else:
            hint = "branchline init writes a configuration with an agent that is installed; or --agent claude_code"
        raise InvalidInput("there is no agent to plan: the scripted agent does only what scripts say", hint=hint)
    began = os.environ.get("BRANCHLINE_START_TIME")  # the seam for tests that BRANCHLINE_RUN_ID is too
    if began and not began.isdecimal():
        raise InvalidInput(f"BRANCHLINE_START_TIME is {began!r}, not a time in Unix milliseconds")
    return pin(
        repo,
        settings,
        plan=None if file is None else plan_of(file, settings),
        prompt=prompt,
        approve_plan=approve,
        base=given.base,
        run_id=os.environ.get("BRANCHLINE_RUN_ID"),
        started_at=int(began or 0) or None,
    )


def has_planner(settings: Settings) -> bool:
    """Whether a sentence can become a plan: not by an agent that can only do what a script says."""
    return (settings.planning.agent or settings.agent) not in scriptless(settings.agents)


def settings_for(root: Path, given: Given) -> Settings:
    """The settings of a repository with what the command line (or its environment) changes. Raises InvalidInput."""
    settings = load_settings(given.config, root=root)
    changes: dict[str, object] = {}
    if given.config is not None:  # a file of the repository that was given once will be given again
        places = {
            os.path.abspath(given.config): os.path.abspath(root),
            os.path.realpath(given.config): os.path.realpath(root),
        }
        named = [os.path.relpath(file, top) for file, top in places.items()]
        changes["protect"] = (*settings.protect, *(one for one in named if not one.startswith("..")))
    if given.max_parallel is not None:
        changes["max_parallel"] = given.max_parallel
    if given.agent is not None:
        changes["agent"] = _known_agent(given.agent, settings, "--agent")
    if given.planner is not None:
        planner = _known_agent(given.planner, settings, "--planner")
        changes["planning"] = msgspec.structs.replace(settings.planning, agent=planner)
    if given.budget is not None:
        changes["budget"] = msgspec.structs.replace(settings.budget, run=given.budget)
    if given.ship is not None:
        changes["ship"] = msgspec.structs.replace(settings.ship, mode=given.ship)
    return msgspec.structs.replace(settings, **changes)


def _known_agent(name: str, settings: Settings, option: str) -> str:
    known = list(dict.fromkeys([*(agent.id for agent in settings.agents), *BUILT_IN]))
    if name not in known:
        raise InvalidInput(f"there is no agent {name!r}", hint=f"{option} {'|'.join(known)}")
    return name


def agreed(run: "Run") -> bool:
    """Show the plan of a run and ask; without a terminal nobody is asked. False if somebody refused."""
    from branchline.attempt.asking.context import foreseen

    settings, plan = run.settings, run.plan
    collisions = foreseen(run.repo, run.base, settings, plan)
    say(*plan_lines(plan, settings, settings.budget, collisions, scopeless(plan)), "")
    if not somebody_is_there():
        return True
    where = f"and ships to {run.target}" if settings.ship.mode == "merge" else "and leaves an integration branch"
    answer = click.confirm(f"It starts from {run.target or run.base} {where}. Go on?", default=True, err=True)
    say("")
    return answer
