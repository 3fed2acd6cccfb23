"""Step 2: the plan, given or made by a planner, checked by us and stored before anything is built on it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from branchline.attempt.agent_call import call
from branchline.attempt.asking.context_requests import plan_request
from branchline.attempt.asking.conventions import given, unabridged
from branchline.attempt.asking.forecast import foreseen
from branchline.attempt.asking.manifest import Chosen, choose
from branchline.attempt.asking.prompts import plan_prompt
from branchline.attempt.asking.templates import base_files
from branchline.attempt.hints import way_out
from branchline.attempt.performing import have_done
from branchline.attempt.run import Attempt, StepContext
from branchline.config.canonical import canonical, digest
from branchline.config.load import plan_from_data
from branchline.core.durations import seconds
from branchline.core.facts import PlanComplete, PlanProposed
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.model.forecast import Collision
from branchline.core.model.plan import Plan
from branchline.core.planning import (
    from_answer,
    hopeless,
    overlaps,
    plan_schema,
    scopeless,
    serialised,
    unmatched,
    with_folders,
)
from branchline.core.result import Failure, Success
from branchline.core.work import Asked, Work, WorkOutcome
from branchline.core.workstream import known
from branchline.errors import InvalidInput


def run(ctx: StepContext) -> Success | Failure:
    """Store the plan that the run was given; without one, have a planner make it."""
    if ctx.run.accepted is None:
        return _planned(ctx)
    plan, path = ctx.run.accepted, ctx.run.paths.artifacts / "execution_plan.yaml"
    path.write_text(canonical(plan), encoding="utf-8")
    ctx.checkpoint("plan-complete", ctx.run.base)
    file = ctx.run.inside(path)
    return Success(PlanComplete(task_id=ctx.task.id, workstreams=plan.ids, digest=digest(plan), file=file))


def _planned(ctx: StepContext) -> Success | Failure:
    """Ask the planner until its answer is a plan, at most as often as the settings allow."""
    run, planning = ctx.run, ctx.run.settings.planning
    name = planning.agent or run.settings.agent
    answer, errors = "", tuple[str, ...]()
    chosen = _chosen(ctx)
    context = given(chosen.manifest)
    for number in range(1, planning.attempts + 1):
        if number > 1:
            ctx.say(f"asking {name} again: {errors[0]}")
        asked = Asked(
            role="planner",
            agent=name,
            prompt=plan_prompt(run, context, request=run.pins["prompt"], answer=answer, errors=errors),
            given=chosen.given,
            context=context,
            mode="read",
            timeout=seconds(planning.timeout),
            number=number,
            schema=plan_schema(_choice(ctx)),
        )
        part, tree = f"ask-{number}" if number > 1 else "", run.repo.tree_of(run.base)
        work = Work(**ctx.own, part=part, base=run.base, commit=run.base, tree=tree, asked=asked)
        outcome = have_done(ctx, perform, work)
        result = known(outcome.result)
        if result.status not in {AgentStatus.OK, AgentStatus.INVALID_OUTPUT} or ctx.kill.reason:
            return _failed(ctx, outcome.called[-1].agent, result)
        answer = _as_text(result)
        found = _judged(ctx, result)
        if isinstance(found, _Checked):
            return _accepted(ctx, found)
        errors = found
        left = ctx.purse.left
        if left is not None and left <= 0:
            break
    reason = f"planner {name} gave no plan that can be used: {errors[0]}"
    _write_error(ctx, [reason, *errors, "", "Its last answer:", answer])
    return Failure(reason, "invalid_plan", retryable=False, hint=_hint(ctx))


def _chosen(ctx: StepContext) -> Chosen:
    """What the planner is given of the base."""
    run = ctx.run
    request = plan_request(run.settings, run.pins["prompt"], pins=unabridged(run, base_files(run)))
    return choose(run, request, run.base, run.repo.tree_of(run.base))


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


@dataclass(frozen=True, slots=True)
class _Checked:
    """A plan that can be carried out, and what a person should know of it."""

    plan: Plan
    warnings: tuple[str, ...]
    collisions: tuple[Collision, ...] = ()


def _judged(ctx: StepContext, result: AgentResult) -> _Checked | tuple[str, ...]:
    """The plan in an answer, or what is wrong with it, in words that the planner can act on."""
    if result.status is AgentStatus.INVALID_OUTPUT:
        return (result.message,)
    settings, data = ctx.run.settings, from_answer(result.structured)
    most = settings.planning.max_workstreams
    if len(data["workstreams"]) > most:
        return (f"it has {len(data['workstreams'])} workstreams, more than planning.max_workstreams ({most})",)
    try:
        plan = plan_from_data(data, settings, agents=_choice(ctx))
        paths = _paths(ctx)
        if wrong := hopeless(plan, paths):
            return tuple(wrong)
        plan = with_folders(plan, paths)
    except InvalidInput as error:
        return tuple(error.message.splitlines())
    found = checked(plan, paths, settings.planning.overlap)
    if not isinstance(found, _Checked):
        return found
    short = filter(None, [_short_of_money(ctx, plan)])
    collisions = foreseen(ctx.run.repo, ctx.run.base, settings, plan)
    return replace(found, warnings=(*scopeless(plan), *found.warnings, *short), collisions=collisions)


def _short_of_money(ctx: StepContext, plan: Plan) -> str:
    """What to know of a plan whose first attempts could cost more than the run may spend."""
    budget, wanted = ctx.run.settings.budget, len(plan.workstreams)
    if budget.run is None or budget.attempt is None or wanted * budget.attempt <= budget.run:
        return ""
    return f"budget.run (${budget.run:,.2f}) may not pay for {wanted} workstreams of up to ${budget.attempt:,.2f} each"


def _paths(ctx: StepContext) -> list[str]:
    return [entry.path for entry in ctx.run.repo.entries(ctx.run.repo.tree_of(ctx.run.base))]


def checked(plan: Plan, paths: Sequence[str], policy: str) -> _Checked | tuple[str, ...]:
    """What the scopes promise: overlaps are serialised, refused or allowed by policy; what matches nothing is told."""
    found = overlaps(plan, paths)
    if found and policy == "refuse":
        return tuple(f"{one}: give them scopes apart, or let one depend on the other" for one in found)
    warnings = [f"workstream {name}: {glob} matches no file and no folder" for name, glob in unmatched(plan, paths)]
    if policy == "serialise":
        warnings += [f"{one}: {one.second} waits for {one.first}" for one in found]
        return _Checked(serialised(plan, found), tuple(warnings))
    return _Checked(plan, (*warnings, *(f"{one}: a conflict is likely" for one in found)))


def _accepted(ctx: StepContext, found: _Checked) -> Success | Failure:
    plan, data = found.plan, msgspec.to_builtins(found.plan)
    path = ctx.run.paths.artifacts / "proposed_plan.yaml"
    path.write_text(canonical(plan), encoding="utf-8")
    proposed = PlanProposed(
        task_id=ctx.task.id,
        plan=data,
        digest=digest(plan),
        warnings=found.warnings,
        collisions=found.collisions,
        file=ctx.run.inside(path),
    )
    ctx.checkpoint("plan-complete", ctx.run.base)
    if ctx.run.approve_plan:
        return Success(proposed)
    ctx.told.append(proposed)
    stored = ctx.run.paths.artifacts / "execution_plan.yaml"
    stored.write_text(canonical(plan), encoding="utf-8")
    done = PlanComplete(
        task_id=ctx.task.id,
        workstreams=plan.ids,
        digest=proposed.digest,
        by="policy",
        plan=data,
        file=ctx.run.inside(stored),
    )
    return Success(done)


def _failed(ctx: StepContext, agent: str, result: AgentResult) -> Success | Failure:
    reason = f"planner {agent}: {result.message or result.status}"
    _write_error(ctx, [reason, "", result.notes])
    return Failure(reason, result.kind, retryable=result.retryable, hint=way_out(ctx, agent, result) or _hint(ctx))


def _as_text(result: AgentResult) -> str:
    if result.structured is None:
        return result.notes
    return msgspec.json.format(msgspec.json.encode(result.structured), indent=1).decode()


def _write_error(ctx: StepContext, lines: Sequence[str]) -> None:
    path = ctx.run.paths.artifacts / "plan_error.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def _hint(ctx: StepContext) -> str:
    file = os.path.relpath(ctx.run.paths.artifacts / "plan_error.txt", ctx.run.paths.root)
    return f"cat {file}\nbranchline resume {ctx.run.run_id}"
