"""`branchline resume`: a run goes on where it stopped."""

import click

from branchline.cli.driving import driven, take_up
from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument
from branchline.engine.recover import complete
from branchline.errors import InvalidInput

ENDED = {"succeeded": "has succeeded", "cancelled": "was cancelled", "partial": "has ended, part of it landed"}


@click.command("resume")
@run_argument
@click.option("--checkpoint", type=click.IntRange(min=0), metavar="ID", help="Go back to it and do the rest again.")
@click.option("--skip", multiple=True, metavar="TASK", help="Leave a task out. Repeatable.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="USD",
    help="What the run may spend in all, without other limits.",
)
@of_run
def command(
    *, history: History, checkpoint: int | None, skip: tuple[str, ...], budget: float | None, as_json: bool
) -> int:
    """Go on with a run that was interrupted or that failed.

    What is completed stays. ID is the checkpoint_id of a checkpoint.json, or any record's number. Exits like `run`.
    """
    end = history.state.end
    if checkpoint is None and end and end.status != "failed" and (end.status != "partial" or budget is None):
        complete(history.paths, history.state)
        hint = f"branchline show {history.run_id}"
        if end.status != "succeeded":
            hint += f", then: branchline retry {history.run_id} TASK"
        raise InvalidInput(f"run {history.run_id} {ENDED[end.status]}: there is nothing to resume", hint=hint)
    return driven(
        history.paths,
        lambda session: take_up(history, session, checkpoint=checkpoint, skip=skip, budget=budget),
        as_json=as_json,
    )
