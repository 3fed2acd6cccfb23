"""`branchline run`: a request, a plan or a plain graph, carried out."""

import os
from pathlib import Path
from typing import Any

import click

from branchline.cli.options import Given, file_type, json_option, repo_option
from branchline.cli.output import busy
from branchline.errors import Interrupted


@click.command("run")
@click.argument("prompt", required=False, metavar="[PROMPT]")
@click.option("--prompt-file", type=file_type, metavar="FILE", help="Read the request from it; - is stdin.")
@click.option("--plan", type=file_type, metavar="FILE", help="The plan to carry out, instead of having one made.")
@click.option("--graph", type=file_type, metavar="FILE", help="A plain task graph to run; it needs no git.")
@repo_option
@click.option("--base", envvar="BRANCHLINE_BASE", metavar="BRANCH", help="Start from it and ship to it.")
@click.option("--agent", envvar="BRANCHLINE_AGENT", metavar="NAME", help="For workstreams that name none.")
@click.option("--planner", envvar="BRANCHLINE_PLANNER", metavar="NAME", help="The agent that plans.")
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
@click.option("--budget", type=click.FloatRange(min=0, min_open=True), metavar="USD", help="What the run may spend.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before beginning.")
@json_option
def command(
    *, prompt: str | None, prompt_file: Path | None, plan: Path | None, graph: Path | None, **options: Any
) -> int:
    """Carry a request out: agents plan and work, gates check, the result merges.

    The plan is shown and has to be accepted; --yes does so beforehand. With --plan nobody plans. A flag counts before
    its BRANCHLINE_* variable, that before branchline.yaml, that before [tool.branchline] of pyproject.toml. Exit codes:
    0 all landed, 5 part of it did, 1 nothing did, 2 wrong input, 4 the plan waits to be accepted, 130 interrupted.
    """
    given = Given(**options)
    if graph is not None:
        if plan is not None or prompt is not None or prompt_file is not None:
            raise click.UsageError("--graph goes without PROMPT and --plan")
        return _graph(given, graph)
    if plan is None and prompt is None and prompt_file is None:
        raise click.UsageError("there is nothing to run: give PROMPT, --prompt-file, --plan or --graph")
    with busy("Reading the repository"):
        from branchline.cli.asking import request_text
        from branchline.cli.driving import driven
        from branchline.cli.plans import agreed, begun
        from branchline.engine.pipeline import start

        asked = request_text(prompt, prompt_file) if (prompt, prompt_file) != (None, None) else ""
        request = begun(given, asked, plan, approve=not given.yes)
    if plan is not None and not given.yes and not agreed(request.run):
        raise Interrupted("nothing was begun and nothing was changed")
    return driven(request.run.paths, lambda session: start(request, session), as_json=given.as_json)


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
