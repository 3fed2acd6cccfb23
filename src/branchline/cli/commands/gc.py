"""`branchline gc`: what ended runs left in the way, saved and removed."""

from pathlib import Path

import click

from branchline.cli.history import find_root
from branchline.cli.options import json_option, repo_option
from branchline.cli.output import emit, say, show
from branchline.views.format.text import table

UNITS = ("B", "kB", "MB", "GB", "TB")
THOUSAND = 1000


@click.command("gc")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--kept", is_flag=True, help="Also remove what git cannot hold, of which there is no other copy.")
@click.option("--landed", is_flag=True, help="Also let saved work go whose workstream has landed.")
@repo_option
@json_option
def command(*, dry_run: bool, kept: bool, landed: bool, repo: Path, as_json: bool) -> int:
    """Save and remove what ended runs left in the way.

    Workspaces and clean checkouts of runs that have ended. Branches, saved work, logs and reports stay, and so does
    everything of a run that is live or can go on. What cannot be saved stays too. With --landed, what was saved of
    workstreams that have landed goes, ignored files too; `git gc --prune=now` then frees its space. Exits 1 if something
    failed.
    """
    from branchline.engine.cleaning import carried_out, planned

    root = find_root(repo)
    items = planned(root, kept=kept, landed=landed)
    if not dry_run:
        items = carried_out(root, items)
    if as_json:
        emit({"dry_run": dry_run, "items": items})
    else:
        show(
            table(
                [(i.run_id, i.kind, i.name, _size(i.size_bytes), i.outcome, i.reason or i.ref) for i in items],
                indent="",
            )
        )
        gone = [item for item in items if item.outcome == ("to do" if dry_run else "removed")]
        verb = "would be removed" if dry_run else "let go" if landed else "removed, its work saved"
        say(f"{_size(sum(item.size_bytes for item in gone))} {verb}" if gone else "nothing to remove")
    return 1 if any(item.outcome == "failed" for item in items) else 0


def _size(size: int) -> str:
    value, unit = float(size), 0
    while value >= THOUSAND and unit < len(UNITS) - 1:
        value, unit = value / THOUSAND, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"
