"""`branchline replay`: gates, batches and merges of a run done again from what its agents left."""

import click
import msgspec

from branchline.cli.history import History
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, say, show
from branchline.views.format.text import count, short, table


@click.command("replay")
@run_argument
@click.option("--no-gates", is_flag=True, help="Leave the gates out: only batches and merges are done again.")
@of_run
def command(*, history: History, no_gates: bool, as_json: bool) -> int:
    """Do a run's gates and merges again, and name the first that differs.

    They begin with what the agents left then. No agent is called, nothing of the repository is touched. Exits 0 if
    everything came to the same trees and verdicts, 1 if something differs, 2 if it cannot be done again.
    """
    from branchline.engine.replay import replayed

    rows = list(replayed(history.paths, history.records, gates=not no_gates, say=say))
    first = next((row for row in rows if row.differs), None)
    if as_json:
        steps = [{**msgspec.to_builtins(row), "differs": row.differs} for row in rows]
        emit({"run_id": history.run_id, "same": first is None, "first": first and first.task_id, "steps": steps})
        return 1 if first else 0
    cells = [
        (
            row.task_id,
            short(row.then.object),
            short(row.now.object) if row.now else "",
            f"differs: {row.note}" if row.differs else f"not done again: {row.note}" if row.note else "same",
        )
        for row in rows
    ]
    show(table([("task", "then", "now", ""), *cells]))
    done = sum(row.now is not None for row in rows)
    end = f"{first.task_id} is the first that differs: {first.note}" if first else "everything came to the same"
    show(["", f"run {history.run_id}: {count(done, 'step')} done again, {end}"])
    return 1 if first else 0
