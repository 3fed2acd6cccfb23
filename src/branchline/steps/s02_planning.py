"""Step 2: the plan, given or made by a planner, checked by us and stored before anything is built on it."""

import os

import msgspec

from branchline.attempt.agent_call import call, way_out
from branchline.attempt.asking.context import base_files, choose, foreseen, plan_request
from branchline.attempt.asking.prompts import plan_prompt
from branchline.attempt.performing import have_done
from branchline.attempt.run import Attempt, StepContext
from branchline.config.canonical import canonical, digest
from branchline.config.load import plan_from_data
from branchline.core.durations import seconds
from branchline.core.facts import PlanComplete, PlanProposed
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.model.plan import Plan
from branchline.core.planning import from_answer, overlaps, plan_schema, scopeless, serialised, unmatched, with_folders
from branchline.core.work import Asked, Failure, Success, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.errors import InvalidInput

ERROR = "plan_error.txt"


def run(ctx: StepContext) -> Success | Failure:
    """Store the plan that the run was given; without one, have a planner make it.

    The planner is asked until its answer is a plan, at most as often as the settings allow.
    """
    if ctx.run.accepted is not None:
        done = _stored(ctx, ctx.run.accepted)
        ctx.checkpoint("plan-complete", ctx.run.base)
        return Success(done)
    run, planning = ctx.run, ctx.run.settings.planning
    name = planning.agent or run.settings.agent
    answer, errors = "", tuple[str, ...]()
    tree = run.repo.tree_of(run.base)
    given = choose(run, plan_request(run.settings, run.pins["prompt"]), run.base, tree)
    for number in range(1, planning.attempts + 1):
        if number > 1:
            ctx.say(f"asking {name} again: {errors[0]}")
        asked = Asked(
            role="planner",
            agent=name,
            prompt=plan_prompt(run, given.files, request=run.pins["prompt"], answer=answer, errors=errors),
            given=given,
            timeout=seconds(planning.timeout),
            number=number,
            schema=plan_schema(_choice(ctx)),
        )
        part = f"ask-{number}" if number > 1 else ""
        work = Work(**ctx.own, part=part, base=run.base, commit=run.base, tree=tree, asked=asked)
        outcome = have_done(ctx, perform, work)
        result = known(outcome.result)
        if result.status not in {AgentStatus.OK, AgentStatus.INVALID_OUTPUT} or ctx.kill.reason:
            agent = outcome.called[-1].agent
            reason, hint = f"planner {agent}: {result.message or result.status}", way_out(ctx, agent, result)
            run.keep(ERROR, f"{reason}\n\n{result.notes}\n")
            return Failure(reason, result.kind, retryable=result.retryable, hint=hint or _hint(ctx))
        answer = result.notes
        if result.structured is not None:
            answer = msgspec.json.format(msgspec.json.encode(result.structured), indent=1).decode()
        found = _proposed(ctx, result)
        if isinstance(found, PlanProposed):
            return _accepted(ctx, found)
        errors = found
        if ctx.purse.left == 0:
            break
    reason = f"planner {name} gave no plan that can be used: {errors[0]}"
    run.keep(ERROR, "\n".join([reason, *errors, "", "Its last answer:", answer, ""]))
    return Failure(reason, "invalid_plan", retryable=False, hint=_hint(ctx))


def _stored(ctx: StepContext, plan: Plan) -> PlanComplete:
    file = ctx.run.keep("execution_plan.yaml", canonical(plan))
    return PlanComplete(task_id=ctx.task.id, workstreams=plan.ids, digest=digest(plan), file=file)


def perform(work: Work, ctx: Attempt) -> WorkOutcome:
    """Have a planner read a checkout of the base, gone afterwards; what it might do there reaches nothing."""
    run, path = ctx.run, ctx.run.work.checkouts / ctx.task.id
    run.workspaces.remove(path)
    run.workspaces.add(path, work.commit)
    try:
        return WorkOutcome(result=call(ctx, known(work.asked), path))
    finally:
        run.workspaces.remove(path)


def _choice(ctx: StepContext) -> list[str]:
    """The agents that a planner may give work to: those of the configuration that are there, the default one first."""
    settings = ctx.run.settings
    barred = {settings.agent, settings.planning.agent, *known(ctx.state.preflight).absent}
    return [settings.agent, *(spec.id for spec in settings.agents if spec.id not in barred)]


def _proposed(ctx: StepContext, result: AgentResult) -> PlanProposed | tuple[str, ...]:
    """The plan in an answer, or what is wrong with it, in words that the planner can act on.

    Scopes that overlap are serialised, refused or allowed, as the settings say; what matches nothing is told.
    """
    if result.status is AgentStatus.INVALID_OUTPUT:
        return (result.message,)
    settings, data = ctx.run.settings, from_answer(result.structured)
    most = settings.planning.max_workstreams
    if len(data["workstreams"]) > most:
        return (f"it has {len(data['workstreams'])} workstreams, more than planning.max_workstreams ({most})",)
    try:
        paths = list(base_files(ctx.run))
        plan = with_folders(plan_from_data(data, settings, agents=_choice(ctx)), paths)
    except InvalidInput as error:
        return tuple(error.message.splitlines())
    overlapping, policy, made = overlaps(plan, paths), settings.planning.overlap, plan
    if overlapping and policy == "refuse":
        return tuple(f"{one}: give them scopes apart, or let one depend on the other" for one in overlapping)
    warnings = [*scopeless(plan)]
    warnings += [f"workstream {name}: {glob} matches no file and no folder" for name, glob in unmatched(plan, paths)]
    if policy == "serialise":
        made = serialised(plan, overlapping)
        warnings += [f"{one}: {one.second} waits for {one.first}" for one in overlapping]
    else:
        warnings += [f"{one}: a conflict is likely" for one in overlapping]
    budget, wanted = settings.budget, len(plan.workstreams)
    if budget.run is not None and budget.attempt is not None and wanted * budget.attempt > budget.run:
        share = f"{wanted} workstreams of up to ${budget.attempt:,.2f} each"
        warnings.append(f"budget.run (${budget.run:,.2f}) may not pay for {share}")
    return PlanProposed(
        task_id=ctx.task.id,
        plan=msgspec.to_builtins(made),
        digest=digest(made),
        warnings=tuple(warnings),
        collisions=foreseen(ctx.run.repo, ctx.run.base, settings, plan),
        file=ctx.run.keep("proposed_plan.yaml", canonical(made)),
    )


def _accepted(ctx: StepContext, proposed: PlanProposed) -> Success:
    ctx.checkpoint("plan-complete", ctx.run.base)
    if ctx.run.approve_plan:
        return Success(proposed)
    ctx.told.append(proposed)
    done = _stored(ctx, msgspec.convert(proposed.plan, Plan))
    return Success(msgspec.structs.replace(done, by="policy", plan=proposed.plan))


def _hint(ctx: StepContext) -> str:
    file = os.path.relpath(ctx.run.paths.artifacts / ERROR, ctx.run.paths.root)
    return f"cat {file}\nbranchline resume {ctx.run.run_id}"
