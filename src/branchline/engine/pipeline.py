"""A pipeline run from its request: pinned, begun, driven, taken up again."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from branchline.attempt.agent_call import bring_home
from branchline.attempt.run import Run, StepContext
from branchline.attempt.secret_scan import require_none
from branchline.config.canonical import canonical, digest
from branchline.config.removed import recorded_settings
from branchline.config.settings import Settings
from branchline.core.budget import Budget, Purse
from branchline.core.durations import seconds
from branchline.core.events import RunPolicy, RunStarted
from branchline.core.facts import PlanComplete
from branchline.core.graph import Task
from branchline.core.model.plan import Plan
from branchline.core.model.verdict import Gate
from branchline.core.pipeline import planning_graph, task_graph
from branchline.core.planning import hopeless, with_folders
from branchline.core.refs import branch_ref
from branchline.core.result import Result
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.engine.day import day_limited
from branchline.engine.drivers.base import Driver, Job
from branchline.engine.drivers.local import LocalDriver
from branchline.engine.healing import heal
from branchline.engine.inbox import Inbox
from branchline.engine.loop import Coordinator, Observer
from branchline.engine.opening import accepted_plan, area, mark, open_run, vouch
from branchline.engine.performing import performed
from branchline.engine.recover import Held, begin, clock, new_run_id, take_up, taken_by, versions
from branchline.engine.shelter import shelter
from branchline.errors import InvalidInput
from branchline.gates.presets import expand
from branchline.git.landing.checkout import is_dirty
from branchline.git.repo import Repo
from branchline.git.storage import fetch
from branchline.ledger.log import read
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import claim, work_area
from branchline.process.spawn import KillSwitch
from branchline.sandbox.bubblewrap import Sandbox

Say = Callable[[str, str], None]


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
    settings = _with_presets(request.settings, repo)
    plan, now = request.plan and scoped(repo, base, request.plan), request.started_at or clock()
    paths = RunPaths(repo.root, request.run_id or new_run_id(now))
    require_none(settings, os.environ, {"the prompt": request.prompt, "the plan": msgspec.json.encode(plan).decode()})
    work = work_area(os.environ, repo.common_dir, paths.run_dir, repo.root, repo.common_dir)
    sandbox = shelter(repo, settings, work.home)
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
    return paths, _drive(held, session, sandbox)


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
    held = take_up(paths, vouch=lambda reading: vouch(Repo.open(paths.root), paths, reading))
    if budget is not None:
        # Whoever says what the run may spend frees the single attempt and workstream of their own limits.
        limits = msgspec.structs.replace(held.state.policy.budget, run=budget, attempt=None, workstream=None)
        held = _with_budget(held, limits)
    ended = held.state.end
    if held.state.rolled_back is not None:
        held.release()
        raise InvalidInput(
            f"run {paths.run_id} was rolled back: there is nothing to resume",
            hint=f"branchline run --plan {paths.artifacts / 'execution_plan.yaml'}",
        )

    def reopen(coordinator: Coordinator) -> None:
        added = None
        if retry is not None:
            answer = retry_round(held.state, retry)
            if isinstance(answer, str):
                raise InvalidInput(answer, hint=f"branchline status {paths.run_id}")
            added = answer
        elif checkpoint is not None:
            coordinator.rewind(_completed_at(paths, checkpoint))
        elif accept is not None:
            coordinator.note(_acceptance(paths, held.state, accept))
        elif ended is not None and not held.state.open and not held.state.awaiting:
            added = reopen_round(held.state)
        if added is not None:
            coordinator.note(added)
        for name in skip:
            coordinator.skip(name)
        if ended is not None and not (held.state.open or held.state.awaiting or accept):
            raise InvalidInput(
                f"run {paths.run_id} has ended ({ended.status}): nothing to resume",
                hint=f"branchline retry {paths.run_id} TASK",
            )

    held, sandbox = _sheltered(held)
    return _drive(held, session, sandbox, reopen)


def scoped(repo: Repo, base: str, plan: Plan) -> Plan:
    """The plan with folders for what names one. Raises InvalidInput if a scope can match no file."""
    paths = [entry.path for entry in repo.entries(repo.tree_of(base))]
    if wrong := hopeless(plan, paths):
        raise InvalidInput("\n".join(wrong), hint="correct the scope in the plan")
    return with_folders(plan, paths)


@contextmanager
def _released_on_error(held: Held) -> Iterator[None]:
    """Whatever keeps us from going on, Ctrl-C included: the next one must be able to take the run up."""
    try:
        yield
    except BaseException:
        held.release()
        raise


def _with_budget(held: Held, budget: Budget) -> Held:
    """A run that is taken up with other limits, as far as the day has money left. Raises InvalidInput."""
    with _released_on_error(held), day_limited(held.ledger.paths, budget, held.state.started_at) as limits:
        resumed = msgspec.structs.replace(held.resumed[-1], budget=limits)
    return replace(held, resumed=(*held.resumed[:-1], resumed))


def _sheltered(held: Held) -> tuple[Held, Sandbox]:
    """A run that is taken up, with the sandbox of this machine, which may be another. Raises SandboxMissing."""
    with _released_on_error(held):
        settings = recorded_settings(held.state.pins)
        repo = Repo.open(held.ledger.paths.root)
        work = area(repo, held.ledger.paths, held.state)
        claim(work, held.ledger.paths.run_dir)
        sandbox = shelter(repo, settings, work.home)
    resumed = msgspec.structs.replace(held.resumed[-1], sandbox=sandbox.fact)
    return replace(held, resumed=(*held.resumed[:-1], resumed)), sandbox


def _acceptance(paths: RunPaths, state: RunState, plan: Plan) -> PlanComplete:
    """A person's word on a proposed plan, which may have been edited; stored before it is built on."""
    if state.proposed is None or not state.plan_waits:
        raise InvalidInput(f"run {paths.run_id} has no plan that waits", hint=f"branchline status {paths.run_id}")
    settings = recorded_settings(state.pins)
    plan = scoped(Repo.open(paths.root), str(state.pins["base"]), plan)
    require_none(settings, os.environ, {"the plan": msgspec.json.encode(plan).decode()})
    file = paths.artifacts / "execution_plan.yaml"
    file.write_text(canonical(plan), encoding="utf-8")
    return PlanComplete(
        task_id=state.proposed.task_id,
        workstreams=plan.ids,
        digest=digest(plan),
        by=os.environ.get("USER") or "the user",
        plan=msgspec.to_builtins(plan),
        file=file.relative_to(paths.run_dir).as_posix(),
    )


def step_jobs(run: Run, say: Say) -> Callable[[Task, int, RunState], Job]:
    """The `job` function of a coordinator for a pipeline."""
    latest = run

    def job(task: Task, attempt: int, state: RunState) -> Job:
        nonlocal latest
        if latest.accepted is None and state.plan:  # made since the run was opened
            latest = replace(run, accepted=accepted_plan(state))
        so_far, known = state.pipeline, latest
        purse, decision = Purse(state.spending.reserved_for(task.id)), state.decided.get(task.id)

        def work(kill: KillSwitch) -> Result:
            bring_home(run.work.room(task.id, attempt), run.paths.attempt(task.id, attempt))  # a lost coordinator's
            run.secrets.clean_folder(run.paths.attempt(task.id, attempt))  # which could not
            run.paths.set_aside(task.id, attempt)
            ctx = StepContext(
                run=known,
                task=task,
                attempt=attempt,
                state=so_far,
                kill=kill,
                say=lambda text: say(task.id, text),
                purse=purse,
                decision=decision,
            )
            return performed(ctx)

        return Job(task.id, attempt, work)

    return job


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


def _with_presets(settings: Settings, repo: Repo) -> Settings:
    gates: tuple[Gate, ...] = (*settings.gates, *expand(settings.presets, root=repo.root))
    return msgspec.structs.replace(settings, gates=gates, presets=())


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


def _drive(
    held: Held, session: Session, sandbox: Sandbox, reopen: Callable[[Coordinator], None] = lambda _: None
) -> RunState:
    paths = held.ledger.paths
    try:
        run = open_run(paths, held.state, sandbox)
        coordinator = Coordinator(
            ledger=held.ledger,
            state=held.state,
            driver=session.driver,
            job=step_jobs(run, session.say),
            inbox=Inbox(paths),
            observers=session.observers,
            on_checkpoint=lambda ledger: mark(run, ledger),
        )
        coordinator.note(*held.resumed)
        reopen(coordinator)
        if held.resumed and not held.state.plan_waits:
            coordinator.note(*heal(run, read(paths).records, coordinator.state, by=taken_by()).facts)
        return coordinator.run()
    finally:
        held.release()


def _completed_at(paths: RunPaths, checkpoint: int) -> list[str]:
    """The origins of the tasks that were completed when record number `checkpoint` had been written."""
    reading = read(paths)
    if not 0 <= checkpoint < reading.count:
        raise InvalidInput(f"run {paths.run_id} has no checkpoint {checkpoint}", hint=f"branchline log {paths.run_id}")
    state = replay(record.event for record in reading.records if record.seq <= checkpoint)
    return [origin for origin, record in state.current().items() if record.state == State.COMPLETED]
