"""`branchline run`: a plan, or a plain graph, carried out."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from branchline.cli.options import file_type, json_option, repo_option
from branchline.errors import Interrupted, InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The command's options."""

    prompt: str | None
    plan: Path | None
    graph: Path | None
    repo: Path
    base: str | None
    agent: str | None
    ship: str | None
    config: Path | None
    max_parallel: int | None
    yes: bool
    as_json: bool


@click.command("run")
@click.argument("prompt", required=False, metavar="[PROMPT]")
@click.option("--plan", type=file_type, metavar="FILE", help="The plan to carry out.")
@click.option("--graph", type=file_type, metavar="FILE", help="A plain task graph to run; it needs no git.")
@repo_option
@click.option("--base", envvar="BRANCHLINE_BASE", metavar="BRANCH", help="Start from it and ship to it.")
@click.option("--agent", envvar="BRANCHLINE_AGENT", metavar="NAME", help="For workstreams that name none.")
@click.option(
    "--ship",
    envvar="BRANCHLINE_SHIP",
    type=click.Choice(("branch", "merge")),
    help="Leave an integration branch, or merge it to the base.",
)
@click.option("--config", type=file_type, metavar="FILE", help="[default: branchline.yaml, then pyproject.toml]")
@click.option(
    "--max-parallel",
    envvar="BRANCHLINE_MAX_PARALLEL",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many tasks run at once.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before beginning.")
@json_option
def command(**options: Any) -> int:
    """Carry a plan out: agents work, gates check, the result merges.

    A flag counts before its BRANCHLINE_* variable, that before branchline.yaml, that before [tool.branchline] of
    pyproject.toml. Exit codes: 0 all landed, 5 part of it did, 1 nothing did, 2 wrong input, 130 interrupted.
    """
    given = Given(**options)
    if given.graph is not None:
        if given.plan is not None or given.prompt is not None:
            raise click.UsageError("--graph goes without PROMPT and --plan")
        return _graph(given, given.graph)
    if given.plan is not None:
        return _pipeline(given, given.plan)
    if given.prompt is None:
        raise click.UsageError("there is nothing to run: give --plan FILE or --graph FILE")
    raise InvalidInput(
        "planning by an agent is not there yet: PROMPT needs a plan that splits it into workstreams",
        hint="write plan.yaml (branchline init makes an example), then: branchline run PROMPT --plan plan.yaml",
    )


def _pipeline(given: Given, file: Path) -> int:
    from branchline.cli.driving import driven
    from branchline.cli.plans import agreed, settings_for
    from branchline.config.load import load_plan
    from branchline.engine.pipeline import Request, start
    from branchline.engine.recover import clock, new_run_id
    from branchline.git.repo import Repo
    from branchline.ledger.paths import RunPaths

    repo = Repo.open(given.repo)
    settings = settings_for(repo.root, given)
    agents = [agent.id for agent in settings.agents]
    plan = load_plan(file, agents=agents, default_agent=settings.agent)
    now = _start_time() or clock()
    request = Request(
        repo=repo.root,
        plan=plan,
        settings=settings,
        prompt=given.prompt or "",
        base=given.base,
        run_id=os.environ.get("BRANCHLINE_RUN_ID") or new_run_id(now),
        started_at=now,
    )
    paths = RunPaths(repo.root, request.run_id or "")
    if not given.yes and not agreed(plan, settings, request):
        raise Interrupted("nothing was begun and nothing was changed")
    return driven(paths, lambda session: start(request, session), as_json=given.as_json)


def _graph(given: Given, file: Path) -> int:
    from branchline.cli.driving import driven
    from branchline.cli.plans import settings_for
    from branchline.config.load import load_graph
    from branchline.engine.library import run_graph
    from branchline.engine.recover import clock, new_run_id
    from branchline.ledger.paths import RunPaths

    graph = load_graph(file)
    root = given.repo.resolve()
    settings = settings_for(root, given)
    run_id = os.environ.get("BRANCHLINE_RUN_ID") or new_run_id(clock())
    return driven(
        RunPaths(root, run_id),
        lambda session: run_graph(
            graph.tasks,
            root=root,
            run_id=run_id,
            max_parallel=settings.max_parallel,
            retry=settings.retry,
            scheduling=graph.scheduling,
            driver=session.driver,
            observers=session.observers,
        ),
        as_json=given.as_json,
    )


def _start_time() -> int | None:
    """The seam for tests that BRANCHLINE_RUN_ID is too: Unix milliseconds at which the run says it began."""
    text = os.environ.get("BRANCHLINE_START_TIME")
    if not text:
        return None
    if not text.isdecimal():
        raise InvalidInput(f"BRANCHLINE_START_TIME is {text!r}, not a time in Unix milliseconds")
    return int(text)
