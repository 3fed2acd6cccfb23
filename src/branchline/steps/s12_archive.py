"""Step 12: the run's record, complete, also after an abort. It only writes."""

import hashlib
import json
from pathlib import Path

from branchline.attempt.run import Run, StepContext
from branchline.attempt.saved import save_workspace, told
from branchline.core.events import WorktreeSaved
from branchline.core.result import Result, Success
from branchline.errors import BranchlineError
from branchline.git.folders import is_folder
from branchline.ledger.work import vacate
from branchline.views.report import report

LEFT_OUT = {"worktrees", "scratch", "inbox", "kept"}  # what is in `kept` may be a terabyte, and is no record


def run(ctx: StepContext) -> Result:
    """Write `report.md`, the change as `change.patch`, and `archive.json`: every file's hash and every ref.

    Worktrees that are still there, of workstreams that did not ship, are saved as they are, and stay.
    """
    run, saved = ctx.run, _standing(ctx)
    vacate(run.work)
    records, state = run.history()
    text = report(run.run_id, records, state, run.accepted)
    (run.paths.artifacts / "report.md").write_text(text, encoding="utf-8", errors="backslashreplace")
    if commit := ctx.outputs("merge", "").get("commit"):
        patch = run.repo.patch(run.repo.tree_of(run.base), run.repo.tree_of(str(commit)))
        (run.paths.artifacts / "change.patch").write_bytes(patch)
    inventory = run.paths.artifacts / "archive.json"
    refs = {**run.repo.list_refs(run.ref("")), **_branches(run)}
    made = {"run_id": run.run_id, "records": len(records), "refs": refs, "files": _hashes(run.paths.run_dir)}
    inventory.write_text(json.dumps(made, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Success({"report": str(run.paths.artifacts / "report.md"), "archive": str(inventory)}, saved)


def _standing(ctx: StepContext) -> tuple[WorktreeSaved, ...]:
    """Save what stands, so that every attempt has a ref, also one whose end nobody saw."""
    run, facts = ctx.run, list[WorktreeSaved]()
    for name in run.accepted.ids if run.accepted else ():
        if not is_folder(run.workspace(name)):
            continue
        try:
            saved = save_workspace(run, name, clear=False)
        except (BranchlineError, OSError) as error:
            facts.append(WorktreeSaved(task_id=ctx.task.id, workstream=name, ref="", commit="", kept=str(error)))
            continue
        facts.append(told(ctx.task.id, name, saved))
        last = ctx.records["execute", name]
        attempt = run.ref(f"attempts/{last.task.id}/{last.attempt}")
        if last.attempt and run.repo.read_ref(attempt) is None:
            run.repo.put_ref(attempt, saved.commit)
    return tuple(facts)


def _branches(run: Run) -> dict[str, str]:
    names = [run.integration, *(run.branch(name) for name in (run.accepted.ids if run.accepted else ()))]
    return {ref: oid for name in names if (oid := run.repo.read_ref(ref := f"refs/heads/{name}"))}


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file of the run that will not change any more."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if parts[0] in LEFT_OUT | {"logs", "run.lock", "owner.json"} or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            found["/".join(parts)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
