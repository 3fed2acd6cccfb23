"""Step 12: the run's record, complete, also after an abort. It only writes."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from branchline.attempt.run import StepContext
from branchline.attempt.saved import remove_workspace, save_workspace, told
from branchline.core.facts import Archived, WorktreeSaved
from branchline.core.refs import branch_ref
from branchline.core.run_state import RunState
from branchline.core.work import Success
from branchline.errors import FAILURES
from branchline.git.folders import files_below, is_folder
from branchline.ledger.work import vacate
from branchline.process.output import digest_of
from branchline.views.report import report

# What is in `kept` may be a terabyte, and is no record; the rest changes later, or is made from the ledger.
LEFT_OUT = {"worktrees", "scratch", "inbox", "kept", "logs", "run.lock", "owner.json", "checkpoints", "checkpoint.json"}
ARCHIVE = "archive.json"


def run(ctx: StepContext) -> Success:
    """Write `report.md`, the change as `change.patch`, and `archive.json`: every file's hash and every ref.

    Workspaces are saved. Once the run has shipped, they go; else they stay as they are.
    """
    run, names = ctx.run, ctx.run.accepted.ids if ctx.run.accepted else ()
    records, state = run.history()
    ctx.say("saving workspaces")
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:  # so that every attempt has a ref
        saved = pool.map(lambda name: _saved(ctx, state, name), names)
        ctx.told.extend(fact for fact in saved if fact is not None)
    vacate(run.work)
    page = run.keep("report.md", report(run.run_id, records, state))
    if merged := ctx.state.integration:
        patch = run.repo.patch(run.repo.tree_of(run.base), run.repo.tree_of(merged.commit))
        (run.paths.artifacts / "change.patch").write_bytes(patch)
    branches = [branch_ref(run.branch(name)) for name in ("", *names)]
    refs = run.repo.list_refs(run.refs.folder)
    refs |= {ref: oid for ref in branches if (oid := run.repo.read_ref(ref))}
    made = {"run_id": run.run_id, "records": records[-1].seq + 1, "refs": refs, "files": _hashes(run.paths.run_dir)}
    kept = run.keep_data(ARCHIVE, made)
    digest = hashlib.sha256((run.paths.run_dir / kept).read_bytes()).hexdigest()
    return Success(Archived(task_id=ctx.task.id, report=page, archive=kept, digest=digest))


def _saved(ctx: StepContext, state: RunState, name: str) -> WorktreeSaved | None:
    """What became of a workspace: saved, and removed if the run has shipped. One that cannot be saved stays."""
    run = ctx.run
    try:
        if ctx.state.shipped:
            return remove_workspace(run, name, ctx.task.id)
        if not is_folder(run.workspace(name)):
            return None
        saved, last = save_workspace(run, name, clear=False), state.find("execute", name)
        attempt = run.refs.attempt(last.task.id, last.attempt) if last else ""
        if last and last.attempt and run.repo.read_ref(attempt) is None:
            run.repo.put_ref(attempt, saved.commit)
    except FAILURES as error:
        return WorktreeSaved(task_id=ctx.task.id, workstream=name, ref="", commit="", kept=str(error))
    return told(ctx.task.id, name, saved)


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file of the run that will not change any more."""
    found = {}
    tops = {entry.name: is_folder(entry) for entry in folder.iterdir() if entry.name not in LEFT_OUT}
    inside = (f"{top}/{path}" for top, is_dir in tops.items() if is_dir for path in files_below(folder / top))
    for name in sorted([*inside, *(top for top, is_dir in tops.items() if not is_dir)]):
        if name != f"artifacts/{ARCHIVE}" and (digest := digest_of(folder / name)):  # else that of an earlier round
            found[name] = digest
    return found
