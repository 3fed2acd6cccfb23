"""Running gates in a clean checkout of a commit: never in an agent's worktree, never in the user's checkout."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec.structs import replace

from branchline.attempt.performing import have_done
from branchline.attempt.run import Attempt, Place, StepContext
from branchline.attempt.sandboxed import commands_in_sandbox, report_with_refused
from branchline.attempt.scope import is_guarded, violation
from branchline.attempt.setup import Setup, seen, set_up
from branchline.attempt.ways_back import ways_back
from branchline.core.model.verdict import NOT_PROVEN, Gate, GateResult, Outcome, Phase, QualityReport
from branchline.core.rules.linear import compiled
from branchline.core.work import Gating, StepFailed, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.gates.command import Site
from branchline.gates.report import write_report
from branchline.gates.run import check
from branchline.git.commit import kept_from_gc
from branchline.git.tampering import Guard, State, changed, state_of
from branchline.process.environment import allowed
from branchline.views.format.text import shown

PORT_TAKEN = compiled(
    r"address already in use|EADDRINUSE|port \d+ is (already )?(in use|taken|allocated)", re.IGNORECASE
)
MOST_NAMED = 5
PORT_ADVICE = (
    "its port was taken, perhaps by the gates of another workstream; use a free port (0), max_parallel: 1, "
    "or sandbox: {network: loopback}"
)


@dataclass(slots=True)
class Checkout:
    """A clean checkout as the gates see it (`gates.run.Tree`).

    Fixers may change anything; `seal` keeps only what `may_change` allows and puts the rest back.
    """

    ctx: Attempt
    path: Path
    tree: str
    commit: str
    branch: str
    setup: Setup
    may_change: Callable[[str], bool] = field(default=lambda _path: True)
    state: State = field(default_factory=dict)
    guard: Guard | None = None
    usual: Callable[[str], State] = field(default=lambda _gate: {})
    found: State = field(default_factory=dict)

    def fingerprint(self) -> str:
        """The tree id of what is there now, without what set-up made."""
        found = seen(self.ctx.run, self.path, self.tree).tree
        return without_setup(self.ctx, self.tree, found, self.setup)

    @kept_from_gc
    def seal(self) -> str:
        """The batch: what the fixers made of the tree, less what they may not change."""
        run, found = self.ctx.run, self.fingerprint()
        foreign = [c for c in run.repo.changes(self.tree, found) if not self.may_change(c.path)]
        if foreign:
            back = {c.path: (c.old_mode, c.old_oid) if c.status != "A" else None for c in foreign}
            found = run.repo.edit_tree(found, back)
        if found != self.tree:
            run.repo.put_ref(run.refs.sealed(self.ctx.task.id), found)  # a gate may run `git gc`
        self.tree = found
        if foreign:
            self.restore()
        return found

    def differences(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths of the batch that are not as sealed, and new files: by-products, and not of the batch."""
        changes = self.ctx.run.repo.changes(self.tree, self.fingerprint())
        new = tuple(c.path for c in changes if c.status == "A")
        return tuple(c.path for c in changes if c.status != "A"), new

    def look(self) -> State:
        """What its repository's own folder says; remembered until the next look, as the user's is where it can be written."""
        run = self.ctx.run
        self.state = state_of(run.repo.content, self.path / ".git")
        self.guard = None if run.sandbox.on else Guard.of(run.repo.content, run.repo.common_dir)
        return self.state

    def meddled(self) -> str:
        """What was changed in the user's own git directory since the last look, put back, in words."""
        aside = self.ctx.run.paths.run_dir / "kept" / "git" / f"{self.ctx.task.id}-{self.ctx.attempt}"
        found = self.guard.put_back(aside) if self.guard else {}
        return (
            f"{told_changed(found)} in your repository (put back; what stood there is kept in {aside})" if found else ""
        )

    def tampered(self, gate: str) -> str:
        """What a gate changed in the repository's own folder, and on the base does not, or in the user's; put back."""
        before, meddled = self.state, self.meddled()
        found = changed(before, self.look())
        self.found |= found
        usual = self.usual(gate) if found else {}
        found = {name: said for name, said in found.items() if usual.get(name) != said}
        if found:
            found_tree = self.fingerprint()  # fixers may be at work: what they made of the files stays
            reset = self.ctx.run.workspaces.reset
            reset(self.path, found_tree, head=self.commit, branch=self.branch, keep=self.setup)
            self.look()
        return meddled or told_changed(found)

    def restore(self) -> None:
        """Put the batch back."""
        reset = self.ctx.run.workspaces.reset
        reset(self.path, self.tree, head=self.commit, branch=self.branch, keep=self.setup)
        self.look()


def told_changed(found: State) -> str:
    """What of a repository's own folder changed, in words."""
    names = [shown(name) for name in found]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"git's own {', '.join(names[:MOST_NAMED])}{more}" if names else ""


def without_setup(ctx: Attempt, base_tree: str, tree: str, setup: Setup) -> str:
    """A tree with the files of set-up as they were in `base_tree`, where nobody has changed them since."""
    if not setup:
        return tree
    edits: dict[str, tuple[str, str] | None] = {}
    for change in ctx.run.repo.changes(base_tree, tree):
        if change.path in setup and setup[change.path] == (None if change.status == "D" else change.new_oid):
            edits[change.path] = None if change.status == "A" else (change.old_mode, change.old_oid)
    return ctx.run.repo.edit_tree(tree, edits) if edits else tree


@contextmanager
def clean_checkout(ctx: Attempt, work: Work) -> Iterator[Checkout]:
    """A fresh, set-up checkout of what work begins with, gone afterwards. One that a kill left behind is removed first."""
    run = ctx.run
    path, branch = run.work.checkouts / f"{ctx.task.id}-{work.commit[:12]}", run.branch(ctx.task.workstream)
    run.workspaces.remove(path)
    run.workspaces.add(path, work.commit, branch)
    try:
        checkout = Checkout(ctx, path, work.tree, work.commit, branch, {})
        if work.tree != run.repo.tree_of(work.commit):
            checkout.restore()
        checkout.look()
        checkout.setup = set_up(ctx, path, work.tree)
        yield checkout
    finally:
        run.workspaces.remove(path)


def run_gates(work: Work, ctx: Attempt) -> WorkOutcome:
    """Run the gates of a phase in a clean checkout, and keep their report, for people and machines, in its folder."""
    run, gating = ctx.run, known(work.gating)
    folder = run.paths.run_dir / gating.folder

    def may_change(path: str) -> bool:
        in_scope = work.scope is None or violation(run, work.scope, work.torn, path) is None
        return in_scope and (path in gating.changed or not is_guarded(run, path))

    with clean_checkout(ctx, work) as checkout:
        checkout.may_change = may_change
        checkout.usual = lambda gate: _usual(ctx, work, gate)
        if meddled := _meddled(ctx, work, checkout):
            report = QualityReport(tree=work.tree, passes=0, fixed=(), results=(meddled,))
        else:
            report = _proven(run, _check(ctx, checkout, run.gates, gating, folder / "logs"), checkout.path)
    # An agent that reads of files has another tree: texts name them from its top.
    named = compiled(rf"(?<![\w.-]){re.escape(str(run.seen_at(checkout.path)))}(/|(?![\w.-]))")
    results = [replace(one, output=named.sub(lambda m: "" if m[1] else ".", one.output)) for one in report.results]
    if gating.beside_others:
        results = list(map(_port_taken, results))
    results = [_beside_base(ctx, work, one) if one.asks_base(gating.phase) else one for one in results]
    report = run.secrets.clean(replace(report, results=tuple(results)))
    write_report(report, folder)
    return WorkOutcome(report=report)


def _meddled(ctx: Attempt, work: Work, checkout: Checkout) -> GateResult | None:
    """A failure, if set-up did to the repository's own folder what it does not do with the files of the base.

    Set-up runs what the batch holds (`make setup`): it is trusted for a tree that no agent has touched.
    """
    before, meddled = checkout.state, checkout.meddled()
    found = changed(before, checkout.look())
    if meddled:
        return GateResult(gate="set-up", outcome=Outcome.FAILED, reason=f"set-up changed {meddled}")
    if not found or work.tree == (base_tree := ctx.run.repo.tree_of(work.base)):
        return None
    with clean_checkout(ctx, replace(work, commit=work.base, tree=base_tree)) as untouched:
        as_usual = changed(untouched.state, untouched.look())
    found = {name: said for name, said in found.items() if as_usual.get(name) != said}
    if not found:
        return None
    reason = f"set-up changed {told_changed(found)}, which it does not with the files of the base"
    return GateResult(gate="set-up", outcome=Outcome.FAILED, reason=reason)


def _usual(ctx: Attempt, work: Work, name: str) -> State:
    """What a gate does to the repository's own folder with the files of the base: some install hooks as they run."""
    run, gating = ctx.run, known(work.gating)
    tree = run.repo.tree_of(work.base)
    if tree == work.tree:
        return {}
    ctx.say(f"{name} on the base")
    with suppress(StepFailed), clean_checkout(ctx, replace(work, commit=work.base, tree=tree)) as checkout:
        checkout.may_change = lambda _path: False
        gates, logs = [one for one in run.gates if one.id == name], run.paths.run_dir / gating.folder / "logs" / "base"
        _check(ctx, checkout, gates, gating, logs)
        return checkout.found
    return {}


def _check(ctx: Attempt, checkout: Checkout, gates: Iterable[Gate], gating: Gating, logs: Path) -> QualityReport:
    run = ctx.run
    with commands_in_sandbox(run, checkout.path) as entered:
        site = Site(
            tree=checkout.path,
            changed=gating.changed,
            logs=logs,
            environ=run.environ,
            kill=ctx.kill,
            pass_env=run.settings.env,
            marker=ctx.marker,
            confinement=lambda gate: entered.around(ctx.confinement(gate.limits, checkout.path)),
            secrets=run.secrets,
        )
        report = check(gates, tree=checkout, phase=gating.phase, site=site, on_progress=ctx.say)
    told: QualityReport = run.secrets.clean(report_with_refused(report, entered.refused()))
    return told


def _beside_base(ctx: Attempt, work: Work, result: GateResult) -> GateResult:
    """A result beside what its gate says of the base, which is asked once a run. What cannot be asked changes nothing."""
    run, gate = ctx.run, next((gate for gate in ctx.run.gates if gate.id == result.gate), None)
    tree = run.repo.tree_of(work.base)
    if gate is None or tree == work.tree:
        return result
    folder = run.paths.run_dir / "artifacts" / "base" / tree[:12] / gate.id
    with suppress(OSError, msgspec.DecodeError):  # a kill may have left half of it
        there = msgspec.json.decode((folder / "report.json").read_bytes(), type=QualityReport)
        return result.beside(there.results[0])
    ctx.say(f"{gate.id} on the base")
    gating, logs = known(work.gating), run.paths.run_dir / known(work.gating).folder / "logs" / "base"
    try:
        with clean_checkout(ctx, replace(work, commit=work.base, tree=tree)) as checkout:
            checkout.may_change = lambda _path: False  # the sealed tree is that of the batch
            report = _check(ctx, checkout, [replace(gate, fix=None)], gating, logs)
    except StepFailed:
        return result
    if report.outcome is not Outcome.ERROR:
        write_report(report, folder)
    return result.beside(report.results[0])


def _proven(run: Place, report: QualityReport, tree: Path) -> QualityReport:
    """The report, with a result that says so if what passed may have tested the user's checkout."""
    passed = [result.gate for result in report.of(Outcome.PASSED)]
    if not passed:
        return report
    environ = allowed(run.environ, pass_=run.settings.env)
    ways = ways_back(run.repo.root, environ, run.settings.setup, run.gates, tree, sandboxed=run.sandbox.on)
    if not ways:
        return report
    more = f" and {len(ways) - 1} more" if len(ways) > 1 else ""
    where = "" if run.sandbox.on else "without a sandbox "
    reason = f"{', '.join(passed)} passed, but {where}they may have tested your checkout: {ways[0]}{more}"
    doubt = GateResult(gate=NOT_PROVEN, outcome=Outcome.ERROR, reason=reason, output="\n".join(ways))
    return replace(report, results=(*report.results, doubt))


def _port_taken(result: GateResult) -> GateResult:
    """A gate that found its port taken could not check: another workstream may have taken it."""
    if result.outcome is not Outcome.FAILED or not PORT_TAKEN.search(result.output):
        return result
    return replace(result, outcome=Outcome.ERROR, reason=f"{result.reason}: {PORT_ADVICE}")


def commit_work(ctx: StepContext, commit: str, *, base: str, phase: Phase, folder: str, part: str = "") -> Work:
    """The work of verifying a commit; the report goes to `artifacts/<folder>`."""
    repo = ctx.run.repo
    tree = repo.tree_of(commit)
    changed = tuple(change.path for change in repo.changes(repo.tree_of(base), tree))
    gating = Gating(phase=phase, changed=changed, folder=f"artifacts/{folder}", beside_others=ctx.run.has_several)
    return Work(**ctx.own, base=base, commit=commit, tree=tree, part=part, gating=gating)


def check_commit(ctx: StepContext, commit: str, *, base: str, phase: Phase, name: str) -> QualityReport:
    """Verify a commit in a clean checkout, as one of several that a step looks at."""
    work = commit_work(ctx, commit, base=base, phase=phase, folder=name, part=f"{phase}-{commit[:12]}")
    return known(have_done(ctx, run_gates, work).report)
