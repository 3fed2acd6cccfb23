"""Running gates in a clean checkout of a commit: never in an agent's worktree, never in the user's checkout."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from branchline.attempt.confining import confinement
from branchline.attempt.run import Run, StepContext
from branchline.attempt.sandboxed import commands_in_sandbox, report_with_refused
from branchline.attempt.setup import set_up
from branchline.attempt.ways_back import ways_back
from branchline.core.model.verdict import NOT_PROVEN, GateResult, Outcome, Phase, QualityReport
from branchline.gates.report import render
from branchline.gates.run import check
from branchline.git.commit import snapshot
from branchline.process.environment import allowed

PORT_TAKEN = re.compile(
    r"address already in use|EADDRINUSE|port \d+ is (already )?(in use|taken|allocated)", re.IGNORECASE
)
PORT_ADVICE = (
    "its port was taken, perhaps by the gates of another workstream; use a free port (0), max_parallel: 1, "
    "or sandbox: {network: loopback}"
)


@dataclass(slots=True)
class Checkout:
    """A clean checkout as the gates see it (`gates.run.Tree`).

    Fixers may change anything; `seal` keeps only what `may_change` allows and puts the rest back.
    """

    ctx: StepContext
    path: Path
    tree: str
    commit: str
    branch: str
    setup: dict[str, str | None]
    may_change: Callable[[str], bool] = field(default=lambda _path: True)

    def fingerprint(self) -> str:
        """The tree id of what is there now, without what set-up made."""
        run = self.ctx.run
        git = run.workspaces.content(self.path)
        found = snapshot(git, self.path, self.tree, scratch=run.paths.scratch, inspect=run.inspect).tree
        return without_setup(self.ctx, self.tree, found, self.setup)

    def seal(self) -> str:
        """The batch: what the fixers made of the tree, less what they may not change."""
        run, found = self.ctx.run, self.fingerprint()
        foreign = [c for c in run.repo.changes(self.tree, found) if not self.may_change(c.path)]
        if foreign:
            back = {c.path: (c.old_mode, c.old_oid) if c.status != "A" else None for c in foreign}
            found = run.repo.edit_tree(found, back)
        restore = bool(foreign)
        if found != self.tree:
            run.repo.put_ref(run.refs.sealed(self.ctx.task.id), found)  # a gate may run `git gc`
        self.tree = found
        if restore:
            self.restore()
        return found

    def modified(self) -> tuple[str, ...]:
        """Paths of the batch that are not as sealed; new files are by-products, and not of the batch."""
        changes = self.ctx.run.repo.changes(self.tree, self.fingerprint())
        return tuple(c.path for c in changes if c.status != "A")

    def restore(self) -> None:
        """Put the batch back."""
        reset = self.ctx.run.workspaces.reset
        reset(self.path, self.tree, head=self.commit, branch=self.branch, keep=self.setup)


def without_setup(ctx: StepContext, base_tree: str, tree: str, setup: dict[str, str | None]) -> str:
    """A tree with the files of set-up as they were in `base_tree`, where nobody has changed them since."""
    if not setup:
        return tree
    edits: dict[str, tuple[str, str] | None] = {}
    for change in ctx.run.repo.changes(base_tree, tree):
        if change.path in setup and setup[change.path] == (None if change.status == "D" else change.new_oid):
            edits[change.path] = None if change.status == "A" else (change.old_mode, change.old_oid)
    return ctx.run.repo.edit_tree(tree, edits) if edits else tree


@contextmanager
def clean_checkout(ctx: StepContext, commit: str) -> Iterator[Checkout]:
    """A fresh, set-up checkout of a commit, gone afterwards. One that a kill left behind is removed first."""
    run, name = ctx.run, ctx.task.workstream
    path = run.work.checkouts / f"{ctx.task.id}-{commit[:12]}"
    branch = run.branch(name) if name else run.integration
    run.workspaces.remove(path)
    run.workspaces.add(path, commit, branch)
    try:
        tree = run.repo.tree_of(commit)
        yield Checkout(ctx, path, tree, commit, branch, set_up(ctx, path, tree))
    finally:
        run.workspaces.remove(path)


def run_gates(
    ctx: StepContext, checkout: Checkout, *, phase: Phase, changed: Sequence[str], folder: Path
) -> QualityReport:
    """Run the gates of a phase and keep their report, for people and machines, in `folder`."""
    run = ctx.run
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with commands_in_sandbox(run, checkout.path) as entered:
        report = check(
            run.gates,
            tree=checkout,
            phase=phase,
            changed=changed,
            logs=logs,
            environ=run.environ,
            kill=ctx.kill,
            on_progress=ctx.say,
            pass_env=run.settings.env,
            marker=ctx.marker,
            confinement=lambda gate: entered.around(confinement(ctx, gate.limits, checkout.path)),
        )
    report = report_with_refused(report, entered.refused())
    report = _with_ports(run, _proven(run, report, checkout.path))
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    (folder / "report.md").write_text(render(report), encoding="utf-8", errors="backslashreplace")
    return report


def _proven(run: Run, report: QualityReport, tree: Path) -> QualityReport:
    """The report, with a result that says so if what passed may have tested the user's checkout."""
    passed = [result.gate for result in report.of(Outcome.PASSED)]
    if run.sandbox.on or not passed:
        return report
    environ = allowed(run.environ, pass_=run.settings.env)
    ways = ways_back(run.repo.root, environ, run.settings.setup, run.gates, tree)
    if not ways:
        return report
    more = f" and {len(ways) - 1} more" if len(ways) > 1 else ""
    reason = f"{', '.join(passed)} passed, but without a sandbox they may have tested your checkout: {ways[0]}{more}"
    doubt = GateResult(gate=NOT_PROVEN, outcome=Outcome.ERROR, reason=reason, output="\n".join(ways))
    return msgspec.structs.replace(report, results=(*report.results, doubt))


def _with_ports(run: Run, report: QualityReport) -> QualityReport:
    """The report, in which a gate that found its port taken could not check, if another workstream may have taken it."""
    if run.settings.max_parallel == 1 or run.accepted is None or len(run.plan.ids) == 1:
        return report
    results = [
        msgspec.structs.replace(one, outcome=Outcome.ERROR, reason=f"{one.reason}: {PORT_ADVICE}")
        if one.outcome is Outcome.FAILED and PORT_TAKEN.search(one.output)
        else one
        for one in report.results
    ]
    return msgspec.structs.replace(report, results=tuple(results))


def check_commit(ctx: StepContext, commit: str, *, base: str, phase: Phase, name: str) -> QualityReport:
    """Verify a commit in a clean checkout; the report goes to `artifacts/<name>`."""
    repo = ctx.run.repo
    changed = [change.path for change in repo.changes(repo.tree_of(base), repo.tree_of(commit))]
    with clean_checkout(ctx, commit) as checkout:
        return run_gates(ctx, checkout, phase=phase, changed=changed, folder=ctx.run.paths.artifacts / name)
