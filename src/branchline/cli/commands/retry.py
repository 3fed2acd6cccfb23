"""`branchline retry`: one task again."""

import click

from branchline.cli.driving import driven, take_up
from branchline.cli.history import History, ask
from branchline.cli.options import of_run, run_needed
from branchline.cli.output import emit, say
from branchline.core.rounds import retry_round
from branchline.errors import InvalidInput


@click.command("retry")
@run_needed
@click.argument("task")
@of_run
def command(*, history: History, task: str, as_json: bool) -> int:
    """Do one task of a run again, and what follows from it.

    A live run is asked to; one that nobody drives goes on here. Exits like `run`.
    """
    refusal = retry_round(history.state, task)
    if isinstance(refusal, str):
        raise InvalidInput(refusal, hint=f"branchline graph {history.run_id}")
    if not history.live:
        return driven(history.paths, lambda session: take_up(history, session, retry=task), as_json=as_json)
    ask(history.paths, "retry", task_id=task)
    say(f"asked run {history.run_id} to do {task} again; watch it: branchline log -f {history.run_id}")
    if as_json:
        emit({"run_id": history.run_id, "asked": "retry", "task_id": task})
    return 0
