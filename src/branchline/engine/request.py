"""A request for a pipeline run, judged and pinned: all that record 0 will say of it, before anything is written."""

import os
from dataclasses import dataclass

import msgspec

from branchline.attempt.run import Run
from branchline.attempt.secret_scan import require_none
from branchline.config.canonical import digest
from branchline.config.settings import Settings
from branchline.core.durations import seconds
from branchline.core.events import RunPolicy, RunStarted
from branchline.core.model.plan import Plan
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.planning import with_folders
from branchline.core.refs import branch_ref
from branchline.core.run_state import replay
from branchline.engine.opening import area, contained, opened, shelter
from branchline.engine.recover import clock, new_run_id, versions
from branchline.errors import InvalidInput
from branchline.gates.presets import expand
from branchline.git.landing.checkout import is_dirty
from branchline.git.repo import Repo
from branchline.git.storage import fetch
from branchline.ledger.paths import RunPaths


@dataclass(frozen=True, slots=True)
class Request:
    """A run that can begin: `first` is to be its record 0, and `run` is what that record says, opened here."""

    first: RunStarted
    run: Run


def pin(  # noqa: PLR0913 - keyword-only data
    repo: Repo,
    settings: Settings,
    *,
    plan: Plan | None = None,
    prompt: str = "",
    approve_plan: bool = False,
    base: str | None = None,
    run_id: str | None = None,
    started_at: int | None = None,
) -> Request:
    """Fix what a run starts from. Raises InvalidInput if it cannot begin; writes nothing.

    Without a `plan`, a planner makes one of the `prompt`; `approve_plan`: it waits for a person then. `base`: the branch
    to start from and ship to; None: that of the settings, or the one checked out. `started_at`: Unix milliseconds.
    """
    now = started_at or clock()
    paths = RunPaths(repo.root, run_id or new_run_id(now))
    commit, target = _pinned(repo, base or settings.base or repo.head_branch(), settings)
    if plan and repo.user.promisors:
        fetch(repo, [commit])  # for its scopes; what could not be had stops the run at preflight
    settings = with_gates(repo, settings)
    plan = plan and scoped(repo, commit, plan)
    require_none(settings, os.environ, {"the prompt": prompt, "the plan": msgspec.json.encode(plan).decode()})
    work = area(repo, paths, {})
    sandbox = shelter(repo, settings, work)
    first = RunStarted(
        kind="pipeline",
        started_at=now,
        tasks=planning_graph() if plan is None else task_graph(plan),
        policy=_policy(settings, planned=plan is not None, approve_plan=approve_plan),
        pins={
            "versions": versions(),
            "base": commit,
            "target": target,
            "head": repo.head_commit(),
            "dirty": is_dirty(repo),
            "prompt": prompt or (plan.goal if plan else ""),
            **({} if plan is None else {"plan": msgspec.to_builtins(plan), "plan_digest": digest(plan)}),
            "settings": msgspec.to_builtins(settings),
            "settings_digest": digest(settings),
            "work": str(work.folder),
            "sandbox": msgspec.to_builtins(sandbox.fact),
        },
    )
    return Request(first, contained(opened(repo, paths, work, replay([first])), sandbox))


def with_gates(repo: Repo, settings: Settings) -> Settings:
    """The settings with the gates of their presets, and no presets any more."""
    gates = (*settings.gates, *expand(settings.presets, root=repo.root))
    return msgspec.structs.replace(settings, gates=gates, presets=())


def scoped(repo: Repo, base: str, plan: Plan) -> Plan:
    """The plan with folders for what names one. Raises InvalidInput if a scope can match no file."""
    return with_folders(plan, [entry.path for entry in repo.entries(base)])


def _pinned(repo: Repo, name: str | None, settings: Settings) -> tuple[str, str]:
    """The base commit, and the branch to ship to: empty when the base is not a branch."""
    if name is None:
        raise InvalidInput(f"HEAD of {repo.root} is detached: there is no branch to build on", hint="--base BRANCH")
    if commit := repo.resolve(branch_ref(name)):
        return commit, name
    commit = repo.resolve(name)
    if commit is None:
        raise InvalidInput(f"there is no branch or commit {name!r} in {repo.root}", hint="--base BRANCH")
    if settings.ship.mode == "merge":
        raise InvalidInput(f"{name!r} is not a branch, so nothing can be merged to it", hint="--ship branch")
    return commit, ""


def _policy(settings: Settings, *, planned: bool, approve_plan: bool) -> RunPolicy:
    repair = settings.repair
    planning = () if planned else ("planning",)
    review = ("code_gate",) if settings.review.agent else ()
    return RunPolicy(
        max_parallel=settings.max_parallel,
        cpu=settings.resources.cpu,
        mem_mb=settings.resources.mem_mb,
        retry=settings.retry,
        repair_rounds=repair.rounds,
        repair_ms=None if repair.time is None else round(seconds(repair.time) * 1000),
        repair_usd=repair.usd,
        budget=settings.budget,
        paid_steps=(*planning, "execute", *review),
        approve_plan=approve_plan,
    )
