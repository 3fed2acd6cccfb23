"""`branchline diff`: the change that a run or one of its workstreams made."""

import sys

import click

from branchline.cli.history import History, require_pipeline
from branchline.cli.options import of_run, run_argument
from branchline.cli.output import emit, page
from branchline.core.approvals import waiting_for
from branchline.core.facts import ExecuteWsComplete, WorktreesReady, WsCheckpoint
from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.views.recap import landing, titles


@click.command("diff")
@run_argument
@click.argument("workstream", required=False, metavar="[WS]")
@of_run
def command(*, history: History, workstream: str | None, as_json: bool) -> None:
    """Print the change that a run or a workstream made.

    Without WS: the merge result against the base. With it: the workstream's last commit, or where it has none, what
    its agent left last, against what it started from. Of what waits for a person, exactly the change that waits.
    `git apply` takes the patch; --json prints its size by file.
    """
    require_pipeline(history, "changed no repository")
    store = Repo.open(history.paths.root)
    if workstream:
        old, new = _of_workstream(history, workstream)
    elif need := waiting_for(history.state, "ship"):
        old, new = need.base, need.tree
    elif merged := landing(history.records).integration:
        old, new = str(history.state.pins["base"]), merged.commit
    else:
        hint = f"branchline diff {history.run_id} WORKSTREAM"
        raise InvalidInput(f"run {history.run_id} has merged nothing yet", hint=hint)
    trees = store.tree_of(old), store.tree_of(new)
    if as_json:
        files = [{"path": path, "added": added, "deleted": gone} for path, added, gone in store.diffstat(*trees)]
        emit({"run_id": history.run_id, "old": old, "new": new, "files": files})
        return
    patch = store.patch(*trees)
    if sys.stdout.isatty():
        page(patch)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(patch)


def _of_workstream(history: History, name: str) -> tuple[str, str]:
    """What a workstream started from, and the last thing that it came to."""
    if name not in (names := titles(history.state)):
        raise InvalidInput(f"run {history.run_id} has no workstream {name!r}", hint=f"it has {', '.join(names)}")
    if need := waiting_for(history.state, "consume", name):
        return need.base, need.tree
    base, made = "", ""
    for record in history.records:
        match record.event:
            case WorktreesReady(workstream=found, base=commit) if found == name:
                base = commit
            case WsCheckpoint(workstream=found, commit=commit) if found == name:
                made = commit
            case ExecuteWsComplete(workstream=found, tree=tree) if found == name:
                made = tree
    if not (base and made):
        raise InvalidInput(
            f"workstream {name} of run {history.run_id} has made nothing yet",
            hint=f"branchline status {history.run_id}",
        )
    return base, made
