"""`branchline demo`: the whole pipeline, played on a small repository of our own."""

import tempfile
from pathlib import Path

import click

from branchline.cli.driving import driven
from branchline.cli.options import json_option
from branchline.cli.output import emit, say
from branchline.demo.story import OPENING, Ending, differences, moral, stage
from branchline.engine.pipeline import start
from branchline.views.recap import EXIT_INTERRUPTED


@click.command("demo")
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Play it in a new folder of your choice.")
@json_option
def command(*, keep: Path | None, as_json: bool) -> int:
    """Show the whole job on a small repository of its own.

    It needs no key and no network. Exits 0 if the story came out as told, the workstream that is left out included.
    """
    request = stage(keep or Path(tempfile.mkdtemp(prefix="branchline-demo-")))
    paths = request.run.paths
    say(*OPENING, "")
    if driven(paths, lambda session: start(request, session), as_json=False) == EXIT_INTERRUPTED:
        return EXIT_INTERRUPTED
    ending = Ending.of(paths)
    wrong = list(differences(ending))
    say("", *(["The story did not come out as told:", *(f"  {one}" for one in wrong)] if wrong else moral(ending)))
    if as_json:
        emit({"ok": not wrong, "folder": str(paths.root), "run_id": paths.run_id, "differences": wrong})
    return 1 if wrong else 0
