"""Options and arguments that many commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

T = TypeVar("T")


def _runs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
    from click.shell_completion import CompletionItem

    from branchline.cli.history import find_root
    from branchline.ledger.runs import run_ids

    known = run_ids(find_root(Path(ctx.params.get("repo") or ".")))
    return [CompletionItem(name) for name in reversed(known) if name.startswith(incomplete.upper())]


_folder = click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path)
repo_option = click.option(
    "--repo", type=_folder, default=".", metavar="DIR", help="The repository, or any folder in it. [default: .]"
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
run_argument = click.argument("run", required=False, metavar="[RUN]", shell_complete=_runs)
run_needed = click.argument("run", metavar="RUN", shell_complete=_runs)
file_type = click.Path(dir_okay=False, path_type=Path)
root_option = click.option(
    "--root",
    type=_folder,
    default=".",
    metavar="DIR",
    help="The folder to look at; it need not be a repository. [default: .]",
)
cache_option = click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where the index is. [default: in the git directory]",
)


def of_run(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command --repo and --json, and for the name of a run the run itself, as `history`."""

    @wraps(command)
    def called(*, run: str | None, repo: Path, **given: Any) -> T:
        from branchline.cli.history import load

        return command(history=load(repo, run), **given)

    return repo_option(json_option(called))


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line says of a run to begin; None leaves it to the settings."""

    repo: Path
    base: str | None = None
    agent: str | None = None
    planner: str | None = None
    ship: str | None = None
    config: Path | None = None
    max_parallel: int | None = None
    budget: float | None = None
    yes: bool = False
    as_json: bool = False
