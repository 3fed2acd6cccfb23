"""What `doctor` looks at. Every finding is a fact, how bad it is, and what to type."""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from branchline.attempt.preflight.machine import of_environment
from branchline.attempt.preflight.survey import remarks
from branchline.cli.doctor.left_behind import Finding, left_behind
from branchline.cli.plans import has_planner
from branchline.cli.survey import every_spec, fallbacks, survey
from branchline.config.load import load_settings, plan_of
from branchline.config.settings import Settings
from branchline.core.model.limits import WEAK
from branchline.core.model.plan import Plan
from branchline.core.model.sandbox import ASKED_FOR, sandbox_words
from branchline.engine.request import pin
from branchline.errors import BranchlineError, InvalidInput
from branchline.gates.presets import expand
from branchline.git.command import OLDEST, version
from branchline.git.repo import Repo
from branchline.process.containment import held_by
from branchline.sandbox.probe import INSTALL
from branchline.views.format.text import count

HELD_BY = {
    "namespace": "every attempt gets a PID namespace of its own: nothing that it starts outlives it",
    "subreaper": "every attempt gets a process that ends all that it starts; there are no PID namespaces here",
    "group": WEAK,
}
NEEDED_ROLES = frozenset({"editor", "required reviewer"})


def examine(path: Path, plan: Path | None = None, *, repair: bool = False) -> Iterator[Finding]:
    """Everything, in the order in which it should be mended; with a plan, the agents that it names too.

    With `repair`, what earlier runs left wrong is put right, as far as their ledgers name it.
    """
    try:
        found = ".".join(map(str, version()))
        yield Finding(name="git", state="ok", detail=f"{found} (at least {'.'.join(map(str, OLDEST))})")
    except InvalidInput as error:
        yield Finding(name="git", state="missing", detail=error.message, next=error.hint)
        return
    yield Finding(name="python", state="ok", detail=platform.python_version())
    held = held_by("namespace")
    yield Finding(name="containment", state="warning" if held == "group" else "ok", detail=HELD_BY[held])
    try:
        repo = Repo.open(path)
    except BranchlineError as error:
        yield Finding(name="repository", state="missing", detail=error.message, next=error.hint)
        return
    if branch := repo.head_branch():
        yield Finding(name="repository", state="ok", detail=f"{repo.root} on {branch}")
    else:
        detail = f"{repo.root} has a detached HEAD: a run needs to be told its base"
        yield Finding(name="repository", state="warning", detail=detail, next="branchline run --base BRANCH")
    yield from _configuration(repo, plan)
    yield from left_behind(repo, repair=repair)


def _configuration(repo: Repo, file: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(None, root=repo.root)
        plan = plan_of(file, settings) if file else None
        gates = (*settings.gates, *expand(settings.presets, root=repo.root))
    except BranchlineError as error:
        yield Finding(name="configuration", state="missing", detail=error.message, next=error.hint)
        return
    yield Finding(name="configuration", state="ok", detail=count(len(gates), "gate"))
    yield from _agents(settings, plan)
    for gate in gates:
        if found := shutil.which(gate.verify[0]):
            yield Finding(name=f"gate {gate.id}", state="ok", detail=found)
    yield from _preflight(repo, msgspec.structs.replace(settings, gates=gates, presets=()), plan)


def _preflight(repo: Repo, settings: Settings, plan: Plan | None) -> Iterator[Finding]:
    """What step 0 would say of a run that began now."""
    try:
        run = pin(repo, settings, plan=plan).run
    except BranchlineError as error:
        yield Finding(name="a run", state="missing", detail=error.message, next=error.hint)
        return
    fact = run.sandbox.fact
    well = run.sandbox.on or fact.why == ASKED_FOR
    words, mend = sandbox_words(fact), "" if well else INSTALL
    yield Finding(name="sandbox", state="ok" if well else "warning", detail=words, next=mend)
    for one in (*remarks(run), *of_environment(os.environ, settings.env)):
        state: Literal["missing", "warning"] = "missing" if one.stops else "warning"
        yield Finding(name=one.subject, state=state, detail=one.text, next=one.command)


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
        yield Finding(name=f"agent {name}", state=state, detail=f"{role}: {words}", next=one.hint)
    if plan is None and not has_planner(settings):
        detail = f"nobody: {settings.planning.agent or settings.agent} does only what scripts say"
        yield Finding(name="planner", state="warning", detail=detail, next="branchline agents")
    others = [found for name, found in seen.items() if name not in roles]
    there = [" ".join(filter(None, (found.name, found.version))) for found in others if found.installed]
    absent = [found.name for found in others if not found.installed]
    words = f"installed: {', '.join(there) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    yield Finding(name="other agents", state="ok", detail=f"{words} (branchline agents says more)")
