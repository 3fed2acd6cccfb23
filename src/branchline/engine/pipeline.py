"""A pipeline run: begun from its request, driven, taken up again."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from branchline.attempt.run import Run
from branchline.attempt.secret_scan import require_none
from branchline.config.canonical import canonical, digest
from branchline.config.load import load_settings
from branchline.core.events import TasksAdded
from branchline.core.facts import PlanComplete
from branchline.core.model.plan import Plan
from branchline.core.rounds import reopen_round, retry_round
from branchline.core.run_state import RunState, replay
from branchline.core.states import State
from branchline.engine.day import day_limited
from branchline.engine.driver import Driver, LocalDriver
from branchline.engine.inbox import Inbox
from branchline.engine.loop import Coordinator, Observer
from branchline.engine.opening import contained, mark, open_run, shelter, take_over
from branchline.engine.recover import Held, begin, taken_by
from branchline.engine.request import Request, scoped
from branchline.errors import FAILURES, InvalidInput
from branchline.ledger.log import Ledger, read
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import claim
from branchline.sandbox.bubblewrap import Sandbox


@dataclass(slots=True)
class Session:
    """How a run is driven and watched. `say(task_id, text)` hears what a running step is about."""

    driver: Driver = field(default_factory=LocalDriver)
    observers: tuple[Observer, ...] = ()
    say: Callable[[str, str], None] = lambda _task, _text: None


def start(request: Request, session: Session) -> RunState:
    """Begin a run and drive it to its end. Raises InvalidInput, with nothing written, if nothing is left of the day's budget."""
    run, first = request.run, request.first
    with day_limited(run.paths, first.policy.budget, run.started_at) as budget:
        claim(run.work, run.paths.run_dir)
        policy = msgspec.structs.replace(first.policy, budget=budget)
        held = begin(run.paths, msgspec.structs.replace(first, policy=policy))
    with held:
        return _coordinator(held, run, session).run()


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
        run = contained(run, _sheltered(run))
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
            from branchline.engine.healing import heal

            coordinator.note(*heal(run, read(paths).records, state, by=taken_by()).facts)
        return coordinator.run()


def _sheltered(run: Run) -> Sandbox:
    """The sandbox of a run that goes on: of what holds here now, and not less than today's settings ask for."""
    wanted = run.settings.sandbox
    least = max(wanted.min, load_settings(None, root=run.repo.root).sandbox.min)
    settings = msgspec.structs.replace(run.settings, sandbox=msgspec.structs.replace(wanted, min=least))
    return shelter(run.repo, settings, run.work)


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


def _coordinator(held: Held, run: Run, session: Session) -> Coordinator:
    from branchline.engine.performing import step_jobs  # all the steps: record 0 does not wait for their import

    def marked(ledger: Ledger) -> str:
        """Mark the ledger in git; why that cannot be, which is no end of a run."""
        try:
            mark(run, ledger)
        except FAILURES as error:
            return str(error)
        return ""

    return Coordinator(
        ledger=held.ledger,
        state=held.state,
        driver=session.driver,
        job=step_jobs(run, session.say),
        inbox=Inbox(run.paths),
        observers=session.observers,
        on_checkpoint=marked,
    )


def _completed_at(paths: RunPaths, checkpoint: int) -> list[str]:
    """The origins of the tasks that were completed when record number `checkpoint` had been written."""
    reading = read(paths)
    if not 0 <= checkpoint < reading.count:
        raise InvalidInput(f"run {paths.run_id} has no checkpoint {checkpoint}", hint=f"branchline log {paths.run_id}")
    state = replay(record.event for record in reading.records if record.seq <= checkpoint)
    return [origin for origin, record in state.current().items() if record.state == State.COMPLETED]
