"""What `doctor` looks at. Every finding is a fact, how bad it is, and what to type."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from branchline.cli.doctor.finding import Finding
from branchline.cli.doctor.left_behind import left_behind
from branchline.cli.plans import has_planner
from branchline.cli.survey import Seen, every_spec, fallbacks, survey
from branchline.config.load import SETTINGS_FILE, load_settings, plan_of
from branchline.config.settings import Settings
from branchline.core.model.limits import WEAK
from branchline.core.model.plan import Plan
from branchline.core.model.sandbox import ASKED_FOR, sandbox_words
from branchline.core.model.verdict import Gate
from branchline.engine.shelter import shelter
from branchline.errors import BranchlineError, InvalidInput
from branchline.gates.presets import expand
from branchline.git.checkout import is_dirty
from branchline.git.command import OLDEST, version
from branchline.git.repo import Repo
from branchline.process.containment import held_by
from branchline.sandbox.probe import INSTALL
from branchline.views.format.text import count

HELD_BY = {
    "namespace": "every attempt gets a PID namespace of its own: nothing that it starts outlives it",
    "subreaper": "every attempt gets a process that ends all that it starts; there are no PID namespaces here",
}
NEEDED_ROLES = frozenset({"editor", "required reviewer"})


def examine(path: Path, plan: Path | None = None, *, repair: bool = False) -> list[Finding]:
    """Everything, in the order in which it should be mended; with a plan, the agents that it names too.

    With `repair`, what earlier runs left wrong is put right, as far as their ledgers name it.
    """
    return list(_findings(path, plan, repair=repair))


def _findings(path: Path, plan: Path | None, *, repair: bool) -> Iterator[Finding]:
    try:
        found = ".".join(map(str, version()))
        yield Finding(name="git", state="ok", detail=f"{found} (at least {'.'.join(map(str, OLDEST))})")
    except InvalidInput as error:
        yield Finding(name="git", state="missing", detail=error.message, next=error.hint)
        return
    yield Finding(name="python", state="ok", detail=platform.python_version())
    yield _containment()
    try:
        repo = Repo.open(path)
    except BranchlineError as error:
        yield Finding(name="repository", state="missing", detail=error.message, next=error.hint)
        return
    yield from _repository(repo)
    yield from _configuration(repo, plan)
    yield from left_behind(repo, repair=repair)


def _containment() -> Finding:
    held = held_by("namespace")
    if held == "group":
        return Finding(name="containment", state="warning", detail=WEAK)
    return Finding(name="containment", state="ok", detail=HELD_BY[held])


def _repository(repo: Repo) -> Iterator[Finding]:
    branch = repo.head_branch()
    if branch is None:
        detail = f"{repo.root} has a detached HEAD: a run needs to be told its base"
        yield Finding(name="repository", state="warning", detail=detail, next="branchline run --base BRANCH")
    else:
        yield Finding(name="repository", state="ok", detail=f"{repo.root} on {branch}")
    if is_dirty(repo):
        detail = "it has uncommitted changes, which no run sees and no run touches"
        yield Finding(name="checkout", state="warning", detail=detail, next="git status")
    if repo.is_shallow():
        detail = "it is a shallow clone: history before its cut cannot be merged with"
        yield Finding(name="history", state="warning", detail=detail, next="git fetch --unshallow")
    if repo.has_submodules(repo.head_commit()):
        detail = "it has submodules: they stay empty in worktrees and must not be changed"
        yield Finding(name="submodules", state="warning", detail=detail)


def _configuration(repo: Repo, file: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(None, root=repo.root)
        plan = plan_of(file, settings) if file else None
        gates = (*settings.gates, *expand(settings.presets, root=repo.root))
    except BranchlineError as error:
        yield Finding(name="configuration", state="missing", detail=error.message, next=error.hint)
        return
    yield _sandbox(repo, settings)
    if gates:
        yield Finding(name="configuration", state="ok", detail=count(len(gates), "gate"))
    else:
        there = (repo.root / SETTINGS_FILE).exists()
        again = f"add gates to {SETTINGS_FILE}" if there else "branchline init"
        yield Finding(name="configuration", state="warning", detail="no gates: nothing will be checked", next=again)
    yield from _agents(settings, plan)
    for gate in gates:
        yield _gate(gate)


def _sandbox(repo: Repo, settings: Settings) -> Finding:
    """What would hold what a run starts here; tried out."""
    try:
        fact = shelter(repo, settings, repo.root).fact
    except InvalidInput as error:
        return Finding(name="sandbox", state="missing", detail=error.message, next=error.hint)
    well = fact.rung == 3 or fact.why == ASKED_FOR
    return Finding(
        name="sandbox",
        state="ok" if well else "warning",
        detail=sandbox_words(fact),
        next="" if well else INSTALL,
    )


def _agents(settings: Settings, plan: Plan | None) -> Iterator[Finding]:
    """The agents that a run would call, one by one; the others in one line."""
    specs = every_spec(settings)
    seen = survey(specs.values())
    roles = _roles(settings, plan)
    for name in list(roles):
        roles |= {other: f"instead of {name}" for other in fallbacks(name, specs) if other not in roles}
    for name, role in roles.items():
        replaced = any(seen[other].installed for other in fallbacks(name, specs))
        needed = role in NEEDED_ROLES and not replaced
        yield from _agent(seen[name], role, "missing" if needed else "warning")
    if plan is None and not has_planner(settings):
        detail = f"nobody: {settings.planning.agent or settings.agent} does only what scripts say"
        yield Finding(name="planner", state="warning", detail=detail, next="branchline agents")
    others = [found for name, found in seen.items() if name not in roles]
    there = [" ".join(filter(None, (found.name, found.version))) for found in others if found.installed]
    absent = [found.name for found in others if not found.installed]
    words = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    yield Finding(name="other agents", state="ok", detail=f"{words} (branchline agents says more)")


def _roles(settings: Settings, plan: Plan | None) -> dict[str, str]:
    """The agents that the settings and a plan name, each with the first thing that it is needed for."""
    editors = [w.agent or settings.agent for w in plan.workstreams] if plan else [settings.agent]
    reviewing = "required reviewer" if settings.review.required else "reviewer"
    named = [
        *((name, "editor") for name in editors),
        (settings.planning.agent, "planner"),
        (settings.review.agent, reviewing),
        (settings.repair.takeover, "takes repairs over"),
    ]
    return {name: role for name, role in reversed(named) if name}


def _agent(seen: Seen, role: str, if_absent: Literal["warning", "missing"]) -> Iterator[Finding]:
    name = f"agent {seen.name}"
    if not seen.installed:
        detail = f"{role}: {seen.problem or 'it is not installed'}"
        yield Finding(name=name, state=if_absent, detail=detail, next=seen.hint)
        return
    words = f"{role}: {' '.join(filter(None, (seen.version, seen.path)))}"
    if seen.tested is False:
        words += "; Branchline is not tested with this version"
    if seen.hint.startswith("export "):
        words += "; the environment has no key for it"
    well = seen.tested is not False and not seen.hint
    yield Finding(name=name, state="ok" if well else "warning", detail=words, next=seen.hint)


def _gate(gate: Gate) -> Finding:
    tool, name = gate.verify[0], f"gate {gate.id}"
    if found := shutil.which(tool):
        return Finding(name=name, state="ok", detail=found)
    if "/" in tool:
        return Finding(name=name, state="ok", detail=f"{tool}, a file of the repository")
    if gate.required:
        return Finding(name=name, state="missing", detail=f"{tool} is not installed, and the gate is required")
    return Finding(name=name, state="warning", detail=f"{tool} is not installed: the gate will check nothing")
