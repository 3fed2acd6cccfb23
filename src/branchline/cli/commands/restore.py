"""`branchline restore`: saved work, back in a new folder or on a new branch; nothing is ever overwritten."""

from pathlib import Path

import click

from branchline.cli.history import find_root
from branchline.cli.options import json_option, repo_option, run_argument
from branchline.cli.output import emit, say, show
from branchline.core.refs import Refs, branch_ref
from branchline.errors import InvalidInput
from branchline.git.objects import export
from branchline.git.repo import RefMoved, Repo
from branchline.ledger.runs import lost_runs, pick_run, run_ids
from branchline.views.format.text import short, table

KINDS = {
    "saved": "everything that was in a workspace",
    "attempts": "what one attempt of an agent left",
    "gate": "a batch as the gates judged it",
    "checkpoint": "a checkpoint",
}


@click.command("restore")
@run_argument
@click.argument("what", required=False, metavar="[WHAT]")
@click.option("--to", type=click.Path(path_type=Path), metavar="DIR", help="Put its files into a new folder.")
@click.option("--branch", metavar="NAME", help="Make a new branch at it.")
@repo_option
@json_option
def command(
    *, run: str | None, what: str | None, to: Path | None, branch: str | None, repo: Path, as_json: bool
) -> None:
    """Bring work back that a run has saved.

    WHAT is a workstream, a task, or one of the names that are listed without it. Nothing is overwritten.
    """
    root = find_root(repo)
    run_id = pick_run([*lost_runs(root), *run_ids(root)], run, f"of {root}")
    store = Repo.open(root)
    ours = Refs(run_id)
    refs = {ours.short(ref): oid for ref, oid in store.list_refs(ours.folder).items()}
    saved = {name: oid for kind in KINDS for name, oid in refs.items() if name.startswith(f"{kind}/")}
    if what is None or (to is None and branch is None):
        found = saved if what is None else {name: saved[name] for name in _matching(saved, what, run_id)}
        if as_json:
            emit([{"name": name, "commit": commit} for name, commit in found.items()])
            return
        for kind, words in KINDS.items():
            if rows := [(name, short(commit)) for name, commit in found.items() if name.startswith(f"{kind}/")]:
                show([f"{kind}: {words}", *table(rows), ""])
        if found:
            show([f"  branchline restore {run_id} NAME --to DIR"])
        else:
            say(f"run {run_id} has saved nothing yet")
        return
    name = _matching(saved, what, run_id)[-1]
    if to is not None:
        export(store, saved[name], to)
        say(f"{name} is in {to}")
    if branch is not None:
        ref = branch_ref(branch)
        if store.refs.status_of("check-ref-format", ref).code != 0:
            raise InvalidInput(f"{branch!r} cannot name a branch")
        try:
            store.move_ref(ref, saved[name], None)
        except RefMoved as error:
            hint = "--branch OTHER"
            raise InvalidInput(f"the branch {branch} exists already; it was not moved", hint=hint) from error
        say(f"{name} is on the branch {branch}")
    if as_json:
        emit({"name": name, "commit": saved[name], "to": to and str(to), "branch": branch})


def _matching(saved: dict[str, str], what: str, run_id: str) -> list[str]:
    """The names that `what` means, the latest last.

    One itself, else the workspaces that were saved of a workstream, else the attempts of a task.
    """
    if what in saved:
        return [what]
    folder = f"saved/{what}"
    numbered = {int(n): name for name in saved if (n := name.removeprefix(f"{folder}-")).isdecimal()}
    found = [name for name in (folder,) if name in saved] + [numbered[n] for n in sorted(numbered)]
    found = found or [name for name in saved if name.startswith(f"attempts/{what}/")]
    found = found or [name for name in saved if name.endswith((f"_{what}/1", f"/{what}"))]
    if not found:
        raise InvalidInput(f"run {run_id} has saved nothing named {what!r}", hint=f"branchline restore {run_id}")
    return found
