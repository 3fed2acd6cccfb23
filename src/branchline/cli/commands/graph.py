"""`branchline graph`: tasks, their waves and their states."""

import sys
from pathlib import Path
from typing import Literal

import click

from branchline.cli.history import find_root, load
from branchline.cli.options import file_type, json_option, repo_option, run_argument
from branchline.cli.output import emit, show
from branchline.core.events import RunPolicy, RunStarted
from branchline.core.pipeline import task_graph
from branchline.core.run_state import replay
from branchline.views.graph import graph, lines, mermaid


@click.command("graph")
@run_argument
@click.option("--plan", type=file_type, metavar="FILE", help="Draw the graph of a plan instead.")
@click.option("--graph", "file", type=file_type, metavar="FILE", help="Draw a graph file instead.")
@click.option("--format", "form", type=click.Choice(("text", "mermaid")), default="text", show_default=True)
@repo_option
@json_option
def command(*, run: str | None, plan: Path | None, file: Path | None, form: str, repo: Path, as_json: bool) -> None:
    """Draw the task graph of a run or of a plan."""
    if sum(x is not None for x in (run, plan, file)) > 1:
        raise click.UsageError("choose one: RUN, --plan or --graph")
    if plan is None and file is None:
        state = load(repo, run).state
    else:
        from branchline.config.load import load_graph, load_settings, plan_of

        if plan is not None:
            kind: Literal["pipeline", "graph"] = "pipeline"
            tasks = task_graph(plan_of(plan, load_settings(None, root=find_root(repo))))
        else:
            assert file is not None
            kind, tasks = "graph", load_graph(file).tasks
        state = replay([RunStarted(kind=kind, started_at=0, tasks=tasks, policy=RunPolicy())])
    view = graph(state)
    if as_json:
        emit(view)
    elif form == "mermaid":
        sys.stdout.write(mermaid(view))
    else:
        show(lines(view))
