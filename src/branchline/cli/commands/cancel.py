"""`branchline cancel`: the end of a run, whoever drives it."""

import click

from branchline.cli.history import History, ask
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, say
from branchline.errors import InvalidInput


@click.command("cancel")
@run_argument
@of_run
def command(*, history: History, as_json: bool) -> None:
    """End a run; what its agents made so far is kept.

    A live run is asked to end; one that was interrupted is ended here, and nothing of it starts again.
    """
    if history.state.end is not None:
        raise InvalidInput(
            f"run {history.run_id} has ended ({history.state.end.status}): there is nothing to cancel",
            hint=f"branchline show {history.run_id}",
        )
    ask(history.paths, "cancel")
    if not history.live:
        # The coordinator takes intents before it starts anything, so taking the run up ends it.
        from branchline.engine import library, pipeline

        if history.state.kind == "pipeline":
            pipeline.resume(history.paths, pipeline.Session())
        else:
            library.resume(history.run_id, root=history.paths.root)
    word = "asked to end" if history.live else "cancelled"
    say(f"run {history.run_id}: {word}")
    if as_json:
        emit({"run_id": history.run_id, "status": "cancelling" if history.live else "cancelled"})
