"""`branchline doctor`: everything that a run needs and what earlier runs left, looked at one by one."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click
import msgspec

from branchline.attempt.preflight.machine import of_environment
from branchline.attempt.preflight.survey import remarks
from branchline.cli.history import History, history_of
from branchline.cli.options import file_type, json_option, repo_option
from branchline.cli.output import emit, show
from branchline.cli.plans import has_planner
from branchline.cli.survey import every_spec, fallbacks, survey
from branchline.config.load import load_settings, plan_of
from branchline.config.settings import Settings
from branchline.core.model.limits import WEAK
from branchline.core.model.plan import Plan
from branchline.core.model.sandbox import ASKED_FOR, sandbox_words
from branchline.engine.request import pin, with_gates
from branchline.errors import BranchlineError
from branchline.git.command import OLDEST, version
from branchline.git.landing.checkout import claim_of
from branchline.git.repo import Repo
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import lost_runs, run_ids
from branchline.ledger.seal import FOREIGN, is_ours
from branchline.process.containment import held_by
from branchline.process.sweep import living
from branchline.sandbox.probe import INSTALL, programs, tried
from branchline.views.format.text import count, plain, table, wrapped
from branchline.views.status import next_commands, status_word

HELD_BY = {
    "namespace": "every attempt gets a PID namespace of its own: nothing that it starts outlives it",
    "subreaper": "every attempt gets a process that ends all that it starts; there are no PID namespaces here",
    "group": WEAK,
}
NEEDED_ROLES = frozenset({"editor", "required reviewer"})
UNENDED = {"interrupted": "it was interrupted", "waiting": "it waits for a person"}
REPAIR = "branchline doctor --repair"
MARGIN = 11


class Finding(msgspec.Struct, frozen=True):
    """`missing`: a run cannot do without it; `warning`: it can, but say so. `next` is the command that mends it."""

    name: str
    state: Literal["ok", "repaired", "warning", "missing"]
    detail: str
    next: str = ""


@click.command("doctor")
@click.option("--plan", type=file_type, metavar="FILE", help="Look at the agents that this plan names too.")
@click.option("--repair", is_flag=True, help="Put right what earlier runs left wrong.")
@click.option("--sandbox", is_flag=True, help="Try the sandbox out instead, and show all that was tried.")
@repo_option
@json_option
def command(*, plan: Path | None, repair: bool, sandbox: bool, repo: Path, as_json: bool) -> int:
    """Check that everything needed is here.

    git, Python, the repository, its configuration, the agents that it names, the gates' tools, and what earlier runs
    left. Each finding comes with the command that mends it. Exits 1 if something is missing that a run cannot do without.

    With --repair, what kills and people left wrong of the workspaces, refs and locks of runs that nobody drives is put
    right: what a run's ledger names, and nothing else. A lock is removed only if nobody can own it any more.

    With --sandbox: everything that must work in the sandbox and everything that must not is tried in each bubblewrap that
    is here, without a network. Exits 1 if none of them holds.
    """
    if sandbox:
        trials = {program: tried(program, "none", os.environ) for program in programs(os.environ)}
        if as_json:
            emit([{"program": name, "problem": one.problem, "probes": one.probes} for name, one in trials.items()])
        else:
            for name, one in trials.items():
                rows = [
                    (probe.name, probe.expected, "ok" if probe.ok else f"WAS {probe.found}") for probe in one.probes
                ]
                held = sum(probe.ok for probe in one.probes)
                show(["", f"{name}: {one.problem or f'holds, {held} of {len(rows)} probes'}", *table(rows)])
            if not trials:
                show([f"There is no bubblewrap: {INSTALL}"])
        return 1 if all(one.fact is None for one in trials.values()) else 0
    findings = list(_examine(repo, plan, repair=repair))
    if as_json:
        emit(findings)
    else:
        for finding in findings:
            head = f"{finding.state:<{MARGIN - 2}}  "
            text = wrapped(f"{finding.name}: {finding.detail}", indent=" " * MARGIN)
            out = [head + text[0].lstrip(), *text[1:]]
            show([*out, f"{'':{MARGIN}}-> {plain(finding.next)}"] if finding.next else out)
    return 1 if any(finding.state == "missing" for finding in findings) else 0


def _examine(path: Path, plan: Path | None = None, *, repair: bool = False) -> Iterator[Finding]:
    """Everything, in the order in which it should be mended; with a plan, the agents that it names too.

    With `repair`, what earlier runs left wrong is put right, as far as their ledgers name it.
    """
    subject = "git"
    try:
        found = ".".join(map(str, version()))
        yield Finding(subject, "ok", f"{found} (at least {'.'.join(map(str, OLDEST))})")
        yield Finding("python", "ok", platform.python_version())
        held = held_by("namespace")
        yield Finding("containment", "warning" if held == "group" else "ok", HELD_BY[held])
        subject = "repository"
        repo = Repo.open(path)
    except BranchlineError as error:
        yield Finding(subject, "missing", error.message, error.hint)
        return
    if branch := repo.head_branch():
        yield Finding("repository", "ok", f"{repo.root} on {branch}")
    else:
        detail = f"{repo.root} has a detached HEAD: a run needs to be told its base"
        yield Finding("repository", "warning", detail, "branchline run --base BRANCH")
    yield from _configuration(repo, plan)
    yield from _left_behind(repo, repair=repair)


def _configuration(repo: Repo, file: Path | None) -> Iterator[Finding]:
    """The configuration, its agents and gates, and what step 0 would say of a run that began now."""
    subject = "configuration"
    try:
        settings = load_settings(None, root=repo.root)
        plan = plan_of(file, settings) if file else None
        settings = with_gates(repo, settings)
        yield Finding(subject, "ok", count(len(settings.gates), "gate"))
        yield from _agents(settings, plan)
        for gate in settings.gates:
            if found := shutil.which(gate.verify[0]):
                yield Finding(f"gate {gate.id}", "ok", found)
        subject = "a run"
        run = pin(repo, settings, plan=plan).run
    except BranchlineError as error:
        yield Finding(subject, "missing", error.message, error.hint)
        return
    fact = run.sandbox.fact
    well = run.sandbox.on or fact.why == ASKED_FOR
    words, mend = sandbox_words(fact), "" if well else INSTALL
    yield Finding("sandbox", "ok" if well else "warning", words, mend)
    for one in (*remarks(run), *of_environment(os.environ, settings.env)):
        state: Literal["missing", "warning"] = "missing" if one.stops else "warning"
        yield Finding(one.subject, state, one.text, one.command)


def _agents(settings: Settings, plan: Plan | None) -> Iterator[Finding]:
    """The agents that a run would call, one by one; the others in one line."""
    specs = every_spec(settings)
    seen = survey(specs.values())
    # The agents that the settings and a plan name, each with the first thing that it is needed for.
    editors = [w.agent or settings.agent for w in plan.workstreams] if plan else [settings.agent]
    reviewing = "required reviewer" if settings.review.required else "reviewer"
    named = [
        *((name, "editor") for name in editors),
        (settings.planning.agent, "planner"),
        (settings.review.agent, reviewing),
        (settings.repair.takeover, "takes repairs over"),
    ]
    roles = {name: role for name, role in reversed(named) if name}
    for name in list(roles):
        roles |= {other: f"instead of {name}" for other in fallbacks(name, specs) if other not in roles}
    for name, role in roles.items():
        one, replaced = seen[name], any(seen[other].installed for other in fallbacks(name, specs))
        state: Literal["ok", "warning", "missing"]
        if one.installed:
            state = "ok" if one.tested is not False and not one.hint else "warning"
            words = " ".join(filter(None, (one.version, one.path)))
            words += "; Branchline is not tested with this version" if one.tested is False else ""
            words += "; the environment has no key for it" if one.hint.startswith("export ") else ""
        else:
            state = "missing" if role in NEEDED_ROLES and not replaced else "warning"
            words = one.problem or "it is not installed"
        yield Finding(f"agent {name}", state, f"{role}: {words}", one.hint)
    if plan is None and not has_planner(settings):
        detail = f"nobody: {settings.planning.agent or settings.agent} does only what scripts say"
        yield Finding("planner", "warning", detail, "branchline agents")
    others = [found for name, found in seen.items() if name not in roles]
    there = [" ".join(filter(None, (found.name, found.version))) for found in others if found.installed]
    absent = [found.name for found in others if not found.installed]
    words = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    yield Finding("other agents", "ok", f"{words} (branchline agents says more)")


def _left_behind(repo: Repo, *, repair: bool) -> Iterator[Finding]:
    """Run by run, then checkouts that a killed ship left halfway."""
    known, histories = run_ids(repo.root), list[History]()
    for run_id in lost_runs(repo.root):
        text = "its record is lost; its refs hold what it has saved"
        yield Finding(f"run {run_id}", "warning", text, f"branchline restore {run_id}")
    for run_id in known:
        paths = RunPaths(repo.root, run_id)
        if not is_ours(paths):
            detail = f"it is {FOREIGN}, so it is never resumed or cleaned up"
            yield Finding(f"run {run_id}", "warning", detail, f"branchline show {run_id}")
            continue
        try:
            histories.append(history_of(paths))
        except BranchlineError as error:
            yield Finding(f"run {run_id}", "warning", error.message, error.hint)
    for history in histories:
        word = status_word(history.state, live=history.live)
        if word in UNENDED:
            again = next_commands(history.run_id, word, history.state)[0]
            yield Finding(f"run {history.run_id}", "warning", UNENDED[word], again)
        if not history.live and history.state.kind == "pipeline":
            yield from _problems(history, repair=repair)
    # The lock of a ship that was killed while it moved a checkout: resuming finishes the move.
    for git_dir in (repo.git_dir, *repo.common_dir.glob("worktrees/*")):
        commit = claim_of(git_dir).split()[-1:]
        if run_id := next(
            (one.run_id for one in histories for name in commit if name in one.paths.ledger.read_bytes()), ""
        ):
            told = f"run {run_id} was killed while it moved this checkout"
            lock = git_dir / "index.lock"
            yield Finding(f"lock {lock}", "warning", told, f"branchline resume {run_id}")


def _problems(history: History, *, repair: bool) -> Iterator[Finding]:
    """What is wrong with a run. To put it right, the run is taken up for as long as that takes."""
    from branchline.engine import healing
    from branchline.engine.opening import open_run

    name, alive = f"run {history.run_id}", ", ".join(map(str, living(history.paths.marker)))
    orphans = [healing.Problem(f"process {alive}", "it lives on, and nobody drives the run", "end it")] if alive else []
    found = [*orphans, *healing.problems(open_run(history.paths, history.state), history.records, history.state)]
    done: list[healing.Problem] = []
    if repair and any(one.cure for one in found):
        try:
            healed = healing.repair(history.paths)
        except BranchlineError as error:
            yield Finding(name, "warning", f"it was left alone: {error.message}", error.hint)
            return
        done, found = [*orphans, *healed.done], [replace(one, cure="") for one in healed.left]
    for one in done:
        yield Finding(f"{name}, {one.name}", "repaired", f"{one.text}; --repair did {one.cure}")
    for one in found:
        detail = f"{one.text}; --repair would {one.cure}" if one.cure else one.text
        mend = one.command or (REPAIR if one.cure else "")
        yield Finding(f"{name}, {one.name}", "warning", detail, mend)
