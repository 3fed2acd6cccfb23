"""`branchline list`: the runs of a repository, each from the first and the last line of its ledger alone."""

import json
import os
from pathlib import Path

import click
import msgspec

from branchline.cli.history import find_root, history_of
from branchline.cli.options import json_option, repo_option
from branchline.cli.output import emit, say, show
from branchline.errors import BranchlineError
from branchline.ledger.codec import milliseconds
from branchline.ledger.lease import is_held
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import lost_runs, run_ids
from branchline.ledger.seal import first_record, is_ours
from branchline.views.format.text import cut, moment, plain, table
from branchline.views.status import status_word

TAIL_BYTES = 1 << 18
GOAL_COLUMNS = 34


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the list; `started_at` in Unix milliseconds. A `damaged` one is for `branchline verify`.

    A `foreign` one was not begun by this user on this machine.
    One whose record is lost has saved work all the same: `branchline restore` brings it back.
    """

    run_id: str
    status: str
    started_at: int | None = None
    kind: str = ""
    goal: str = ""


@click.command("list")
@repo_option
@json_option
def command(*, repo: Path, as_json: bool) -> None:
    """List the runs, the latest last."""
    root = find_root(repo)
    known = run_ids(root)
    lost = [Line(run_id=name, status="record lost") for name in lost_runs(root)]
    runs = [*lost, *(_line(RunPaths(root, name)) for name in known)]
    if as_json:
        emit(runs)
    elif runs:
        rows = [("run", "status", "started", "goal")]
        for one in runs:
            started = "" if one.started_at is None else moment(one.started_at)[:16]
            rows.append((one.run_id, one.status, started, cut(plain(one.goal), GOAL_COLUMNS)))
        show(table(rows, indent=""))
    else:
        say(f"There are no runs in {root}.", 'Begin one: branchline run "what to change"')


def _line(paths: RunPaths) -> Line:
    try:
        with paths.ledger.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            tail = file.read().rstrip(b"\0")
        lines = tail[: tail.rfind(b"\n")].split(b"\n")
        first, last = first_record(paths.ledger), json.loads(lines[-1])
        pins = first["context"].get("pins", {})
        status = {"run_end": last.get("context", {}).get("status"), "rolled_back": "rolled_back"}.get(last["event"])
        if not is_ours(paths):
            status = "foreign"
        elif status is None:  # it may wait for a person
            status = "running" if is_held(paths) else status_word(history_of(paths).state, live=False)
        return Line(
            run_id=paths.run_id,
            status=status,
            started_at=milliseconds(first["timestamp"]),
            kind=first["context"]["kind"],
            goal=pins.get("plan", {}).get("goal", "") or pins.get("prompt", ""),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, BranchlineError):
        return Line(run_id=paths.run_id, status="damaged")
