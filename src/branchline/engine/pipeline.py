"""A pipeline run from its request: pinned, begun, driven, taken up again."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from branchline.attempt.run import Run
from branchline.attempt.secret_scan import require_none
from branchline.config.canonical import canonical, digest
from branchline.config.settings import Settings
from branchline.core.budget import Budget
from branchline.core.durations import seconds
from branchline.core.events import RunPolicy, RunStarted, TasksAdded
from branchline.core.facts import PlanComplete
from branchline.core.model.plan import Plan
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.planning import with_folders
from branchline.core.refs import branch_ref
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.engine.day import day_limited
from branchline.engine.driver import Driver, LocalDriver
from branchline.engine.healing import heal
from branchline.engine.inbox import Inbox
from branchline.engine.loop import Coordinator, Observer
from branchline.engine.opening import area, contained, mark, open_run, shelter, take_over
from branchline.engine.performing import Say, step_jobs
from branchline.engine.recover import Held, begin, clock, new_run_id, taken_by, versions
from branchline.errors import InvalidInput
from branchline.gates.presets import expand
from branchline.git.landing.checkout import is_dirty
from branchline.git.repo import Repo
from branchline.git.storage import fetch
from branchline.ledger.log import read
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a pipeline run is asked to do. `base`: branch to start from and ship to; None: the one checked out.

    Without a `plan`, a planner makes one of the `prompt`; `approve_plan`: it waits for a person then.
    """

    repo: Path
    settings: Settings
    plan: Plan | None = None
    prompt: str = ""
    approve_plan: bool = False
    base: str | None = None
    run_id: str | None = None
    started_at: int | None = None


@dataclass(slots=True)
class Session:
    """How a run is driven and watched. `say(task_id, text)` hears what a running step is about."""

    driver: Driver = field(default_factory=LocalDriver)
    observers: tuple[Observer, ...] = ()
    say: Say = lambda _task, _text: None


def start(request: Request, session: Session) -> tuple[RunPaths, RunState]:
    """Begin a run and drive it to its end. Raises InvalidInput before anything is written if it cannot begin."""
    repo = Repo.open(request.repo)
    base, target = pinned(repo, request)
    if repo.user.promisors or repo.user.filters:
        fetch(repo, [base])  # what could not be had stops the run at preflight
    gates = (*request.settings.gates, *expand(request.settings.presets, root=repo.root))
    settings = msgspec.structs.replace(request.settings, gates=gates, presets=())
    plan, now = request.plan and scoped(repo, base, request.plan), request.started_at or clock()
    paths = RunPaths(repo.root, request.run_id or new_run_id(now))
    require_none(settings, os.environ, {"the prompt": request.prompt, "the plan": msgspec.json.encode(plan).decode()})
    work = area(repo, paths, {})
    sandbox = shelter(repo, settings, work)
    given = {} if plan is None else {"plan": msgspec.to_builtins(plan), "plan_digest": digest(plan)}
    with day_limited(paths, settings.budget, now) as budget:
        started = RunStarted(
            kind="pipeline",
            started_at=now,
            tasks=planning_graph() if plan is None else task_graph(plan),
            policy=_policy(request, settings, budget),
            pins={
                "versions": versions(),
                "base": base,
                "target": target,
                "head": repo.head_commit(),
                "dirty": is_dirty(repo),
                "prompt": request.prompt or (plan.goal if plan else ""),
                **given,
                "settings": msgspec.to_builtins(settings),
                "settings_digest": digest(settings),
                "work": str(work.folder),
                "sandbox": msgspec.to_builtins(sandbox.fact),
            },
        )
        claim(work, paths.run_dir)
        held = begin(paths, started)
    with held:
        run = contained(open_run(paths, held.state), sandbox)
        return paths, _coordinator(held, run, session).run()


def resume(  # noqa: PLR0913 - keyword-only data
    paths: RunPaths,
    session: Session,
    *,
    retry: str | None = None,
    checkpoint: int | None = None,
    skip: tuple[str, ...] = (),
    accept: Plan | None = None,
    budget: float | None = None,
) -> RunState:
    """Take a run up where it stopped, by the same loop. An ended run is reopened where it failed.

    `retry`: a task to do again, with what follows from it; `checkpoint`: a record number to go back to; `skip`: tasks
    to leave out; `accept`: the plan that a waiting run goes on with; `budget`: US dollars that the run may spend in
    all, with no other limits. Raises InvalidInput when there is nothing to do, RunBusy, LedgerError.
    """
    with take_over(paths) as held:
        state, ended = held.state, held.state.end
        added: TasksAdded | None = None
        if state.rolled_back is not None:
            raise InvalidInput(
                f"run {paths.run_id} was rolled back: there is nothing to resume",
                hint=f"branchline run --plan {paths.artifacts / 'execution_plan.yaml'}",
            )
        if budget is not None:
            # Whoever says what the run may spend frees the single attempt and workstream of their own limits.
            limits = msgspec.structs.replace(state.policy.budget, run=budget, attempt=None, workstream=None)
            with day_limited(paths, limits, state.started_at) as left:
                held.amend(budget=left)
        run = open_run(paths, state)
        claim(run.work, paths.run_dir)
        run = contained(run, shelter(run.repo, run.settings, run.work))  # this machine may be another one
        held.amend(sandbox=run.sandbox.fact)
        coordinator = _coordinator(held, run, session)
        coordinator.note(*held.resumed)
        if retry is not None:
            answer = retry_round(state, retry)
            if isinstance(answer, str):
                raise InvalidInput(answer, hint=f"branchline status {paths.run_id}")
            added = answer
        elif checkpoint is not None:
            coordinator.rewind(_completed_at(paths, checkpoint))
        elif accept is not None:
            coordinator.note(_acceptance(run, state, accept))
        elif ended is not None and not state.open and not state.awaiting:
            added = reopen_round(state)
        if added is not None:
            coordinator.note(added)
        for name in skip:
            coordinator.skip(name)
        if ended is not None and not (state.open or state.awaiting or accept):
            raise InvalidInput(
                f"run {paths.run_id} has ended ({ended.status}): nothing to resume",
                hint=f"branchline retry {paths.run_id} TASK",
            )
        if not state.plan_waits:
            coordinator.note(*heal(run, read(paths).records, state, by=taken_by()).facts)
        return coordinator.run()


def scoped(repo: Repo, base: str, plan: Plan) -> Plan:
    """The plan with folders for what names one. Raises InvalidInput if a scope can match no file."""
    return with_folders(plan, [entry.path for entry in repo.entries(repo.tree_of(base))])


def _acceptance(run: Run, state: RunState, plan: Plan) -> PlanComplete:
    """A person's word on a proposed plan, which may have been edited; stored before it is built on."""
    if state.proposed is None or not state.plan_waits:
        raise InvalidInput(f"run {run.run_id} has no plan that waits", hint=f"branchline status {run.run_id}")
    plan = scoped(run.repo, run.base, plan)
    require_none(run.settings, os.environ, {"the plan": msgspec.json.encode(plan).decode()})
    file = run.paths.artifacts / "execution_plan.yaml"
    file.write_text(canonical(plan), encoding="utf-8")
    return PlanComplete(
        task_id=state.proposed.task_id,
        workstreams=plan.ids,
        digest=digest(plan),
        by=os.environ.get("USER") or "the user",
        plan=msgspec.to_builtins(plan),
        file=run.inside(file),
    )


def pinned(repo: Repo, request: Request) -> tuple[str, str]:
    """The base commit, and the branch to ship to: empty when the base is not a branch."""
    name = request.base or request.settings.base or repo.head_branch()
    if name is None:
        raise InvalidInput(f"HEAD of {repo.root} is detached: there is no branch to build on", hint="--base BRANCH")
    if commit := repo.resolve(branch_ref(name)):
        return commit, name
    commit = repo.resolve(name)
    if commit is None:
        raise InvalidInput(f"there is no branch or commit {name!r} in {repo.root}", hint="--base BRANCH")
    if request.settings.ship.mode == "merge":
        raise InvalidInput(f"{name!r} is not a branch, so nothing can be merged to it", hint="--ship branch")
    return commit, ""


def _policy(request: Request, settings: Settings, budget: Budget) -> RunPolicy:
    repair = settings.repair
    planning = ("planning",) if request.plan is None else ()
    review = ("code_gate",) if settings.review.agent else ()
    return RunPolicy(
        max_parallel=settings.max_parallel,
        cpu=settings.resources.cpu,
        mem_mb=settings.resources.mem_mb,
        retry=settings.retry,
        repair_rounds=repair.rounds,
        repair_ms=None if repair.time is None else round(seconds(repair.time) * 1000),
        repair_usd=repair.usd,
        budget=budget,
        paid_steps=(*planning, "execute", *review),
        approve_plan=request.approve_plan,
    )


def _coordinator(held: Held, run: Run, session: Session) -> Coordinator:
    return Coordinator(
        ledger=held.ledger,
        state=held.state,
        driver=session.driver,
        job=step_jobs(run, session.say),
        inbox=Inbox(run.paths),
        observers=session.observers,
        on_checkpoint=lambda ledger: mark(run, ledger),
    )


def _completed_at(paths: RunPaths, checkpoint: int) -> list[str]:
    """The origins of the tasks that were completed when record number `checkpoint` had been written."""
    reading = read(paths)
    if not 0 <= checkpoint < reading.count:
        raise InvalidInput(f"run {paths.run_id} has no checkpoint {checkpoint}", hint=f"branchline log {paths.run_id}")
    state = replay(record.event for record in reading.records if record.seq <= checkpoint)
    return [origin for origin, record in state.current().items() if record.state == State.COMPLETED]
