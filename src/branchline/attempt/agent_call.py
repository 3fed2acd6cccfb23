"""Calling an agent from a step: its fallbacks, its share of the money, the proxy, and the fact that tells of it."""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from branchline.agents.base import Agent
from branchline.agents.supervise import attempt, over_budget
from branchline.attempt.run import Attempt, StepContext
from branchline.attempt.sandboxed import agent_in_sandbox, with_refused
from branchline.core.durations import seconds
from branchline.core.facts import AgentCalled, OwnSandbox
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Limits, Progress, Usage
from branchline.core.model.agent_spec import chain
from branchline.core.model.pricing import priced
from branchline.core.work import Asked
from branchline.errors import BranchlineError, InvalidInput
from branchline.git.folders import delete_tree, is_folder, move
from branchline.views.format.text import count, progress_line

FALLS_BACK = frozenset({AgentStatus.MODEL_ERROR, AgentStatus.REFUSED, AgentStatus.CRASHED, AgentStatus.INVALID_OUTPUT})

NOTHING = Usage(input_tokens=0, output_tokens=0, cost_usd=0.0, cost_source="computed")
"""What is used by a call that the provider has turned away at the door: the one cost that nobody has to tell us."""


IN_SETTINGS = {
    "unknown_model": "`model:` of {agent} is corrected",
    "bad_request": "`args:` and `model:` of {agent} are corrected; branchline doctor tells tested versions",
    "context_too_large": "the prompt is shorter, or {agent} has a model with a larger window",
    "turns": "`max_turns:` of {agent} is raised",
}
"""What has to be corrected in the configuration. A run keeps the one that it began with: a new run takes its plan over."""

AROUND = {"auth": "{agent} has a valid key or login", "billing": "the account of {agent} can pay"}
"""What has to be corrected around the run, which can go on then."""


def chosen(agents: Mapping[str, Agent], name: str) -> tuple[str, ...]:
    """An agent and its fallbacks, in the order in which they are asked."""
    return chain(name, lambda one: agents[one].spec.fallback)


def call(ctx: Attempt, ask: Asked, tree: Path, *, again: Callable[[], None] = lambda: None) -> AgentResult:
    """Have an agent answer, or the next of its fallbacks: the result of the last.

    `again` puts the workspace `tree` back before the next one starts.

    What was called is noted in `ctx.told`, so that the ledger has it even if the step fails. Raises InvalidInput
    (AgentMissing) if none of them can be asked.
    """
    result: AgentResult | None = None
    problem: InvalidInput | None = None
    for position, one in enumerate(chosen(ctx.run.agents, ask.agent)):
        if result is not None:
            again()
        folder = ctx.folder / f"agent-{position + 1}" if position else ctx.folder
        try:
            result = _once(ctx, ctx.run.agents[one], ask, tree, folder)
        except InvalidInput as error:  # it is not installed, or cannot be asked this: the next one may
            problem = problem or error
            continue
        if result.status not in FALLS_BACK or ctx.kill.reason or ctx.purse.left == 0:
            break
    if result is None:
        assert problem is not None
        raise problem
    return result


def _once(ctx: Attempt, agent: Agent, ask: Asked, tree: Path, folder: Path) -> AgentResult:
    """Run one agent once, metered if it is to be."""
    run, name = ctx.run, agent.spec.id
    room = run.work.room(ctx.task.id, ctx.attempt)
    usd = [limit for limit in (ctx.purse.left, agent.spec.max_usd) if limit is not None]
    request = AgentRequest(
        run_id=run.run_id,
        workstream=ctx.task.workstream,
        round=ask.number,
        attempt=ctx.attempt,
        prompt=ask.prompt + _schema_in_words(agent, ask),
        worktree=str(run.seen_at(tree)),
        folder=str(room),
        mode="edit" if ask.role == "editor" else "read",
        output_schema=ask.schema,
        context=ask.given.files,
        manifest=ask.given.manifest,
        limits=Limits(usd=min(usd, default=None), turns=agent.spec.max_turns),
        script=ask.script,
        write=ask.write,
        protect=ask.protect,
    )
    ctx.say(f"{name} is working with {count(len(ask.given.files), 'file')}, {ask.given.tokens:,} tokens")
    seen: list[str] = []

    def listen(progress: Progress) -> None:
        seen.extend([progress.doing] if progress.doing and not seen else [])
        if line := progress_line(progress):
            ctx.say(f"{name}: {line}")

    told = _Telling(ctx, ask, name, folder)
    try:
        with (
            settled(room, folder),
            _metered(ctx, agent, request, folder) as (asked, meter),
            agent_in_sandbox(run, agent, asked, tree, metered=meter is not None) as (shut_in, entered, own),
        ):
            result = attempt(
                agent,
                shut_in,
                environ=run.environ,
                kill=ctx.kill,
                timeout=ask.timeout if agent.spec.timeout is None else seconds(agent.spec.timeout),
                pass_env=run.settings.env,
                marker=ctx.marker,
                record=folder,
                cwd=tree,
                on_progress=listen,
                cut=meter.cut if meter else lambda: None,
                confinement=entered.around(ctx.confinement(agent.spec.limits, tree, room)),
                known=run.secrets,
            )
            told = replace(told, own_sandbox=own, refused=entered.refused())
            result = with_refused(_by_meter(result, request, meter) if meter else result, told.refused)
    except InvalidInput:  # it was not run
        raise
    except (BranchlineError, OSError) as error:  # it may have worked, and nobody will tell for how much
        told.tell(AgentResult(status=AgentStatus.CRASHED, message=str(error), model=agent.spec.model))
        raise
    usage, model = result.usage, result.model or agent.spec.model
    usage = NOTHING if result.turned_away and usage.cost_usd is None and not seen else usage
    return told.tell(msgspec.structs.replace(result, usage=priced(usage, model, run.settings.prices), model=model))


@contextmanager
def settled(room: Path, record: Path) -> Iterator[None]:
    """At the end what an agent has in its room becomes part of the attempt's record, where no agent can change it."""
    delete_tree(room)
    room.mkdir(parents=True)
    try:
        yield
    finally:
        bring_home(room, record)


def bring_home(room: Path, record: Path) -> None:
    """Move what is in an agent's room to the attempt's record, whose own files stay as they are."""
    for entry in sorted(room.iterdir()) if is_folder(room) else ():
        if not os.path.lexists(record / entry.name):
            record.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # too deep for another file system: no work is in a room
                move(entry, record / entry.name)
    delete_tree(room)


@dataclass(frozen=True, slots=True)
class _Telling:
    """What will be told of one agent that is run once. `folder` holds its files."""

    ctx: Attempt
    ask: Asked
    agent: str
    folder: Path
    began: float = field(default_factory=time.monotonic)
    own_sandbox: OwnSandbox = ""
    refused: tuple[str, ...] = ()

    def tell(self, result: AgentResult) -> AgentResult:
        """Note what came of it, and pay for it."""
        ctx = self.ctx
        ctx.purse.pay(result.usage.cost_usd)
        made = AgentCalled(
            task_id=ctx.task.id,
            attempt=ctx.attempt,
            role=self.ask.role,
            agent=self.agent,
            model=result.model,
            status=str(result.status),
            error_class=result.error_class,
            message=result.message,
            usage=result.usage,
            milliseconds=round((time.monotonic() - self.began) * 1000),
            folder=ctx.run.inside(self.folder),
            workstream=ctx.task.workstream,
            round=ctx.task.round,
            manifest=self.ask.given.manifest,
            context_files=len(self.ask.given.files),
            context_tokens=self.ask.given.tokens,
            context_warning=self.ask.given.warning,
            containment=result.containment,
            cpu_ms=result.cpu_ms,
            memory_mb=result.memory_mb,
            own_sandbox=self.own_sandbox,
            refused_hosts=self.refused,
            evidence=result.evidence,
            unchecked=result.unchecked,
        )
        ctx.told.append(made)
        return result


def _by_meter(result: AgentResult, request: AgentRequest, meter: Any) -> AgentResult:
    """The agent's own account, completed by our proxy's: what it used, and why it was given no further answer."""
    own, seen = result.usage, meter.usage
    counts = {name: getattr(own, name) for name in ("input_tokens", "output_tokens", "cached_tokens")}
    counts = {name: getattr(seen, name) if told is None else told for name, told in counts.items()}
    cost = {} if seen.cost_usd is None else {"cost_usd": seen.cost_usd, "cost_source": "metered"}
    result = msgspec.structs.replace(result, usage=msgspec.structs.replace(own, **counts, **cost))
    if meter.cut() and result.status is AgentStatus.MODEL_ERROR:  # it ended itself before we did
        message = over_budget(request)
        return msgspec.structs.replace(result, status=AgentStatus.LIMIT, error_class="budget", message=message)
    return result


def _schema_in_words(agent: Agent, ask: Asked) -> str:
    """The schema as part of the prompt, for an agent that cannot be held to it in any other way."""
    if ask.schema is None or "schema" in agent.abilities:
        return ""
    schema = json.dumps(ask.schema, indent=1)
    return f"\n\nAnswer with one JSON object in a ```json block. It must satisfy this JSON Schema:\n\n```json\n{schema}\n```\n"


def _metered(
    ctx: Attempt, agent: Agent, request: AgentRequest, folder: Path
) -> AbstractContextManager[tuple[AgentRequest, Any]]:
    """The request by way of our proxy where the agent's configuration asks for it."""
    if not agent.spec.meter:
        return nullcontext((request, None))
    from branchline.agents.metering.proxy import metered

    folder.mkdir(parents=True, exist_ok=True)
    prices, limit = ctx.run.settings.prices, request.limits.usd
    return metered(agent, request, prices=prices, limit_usd=limit, folder=folder)


def way_out(ctx: StepContext, agent: str, result: AgentResult) -> str:
    """The hint of a failure that trying again does not mend: what to type, once what is corrected."""
    run, kind = ctx.run, result.kind
    if kind == "budget":
        return f"branchline resume {run.run_id} --budget USD"
    once = (AROUND.get(kind) or IN_SETTINGS.get(kind, "")).format(agent=agent)
    if not once:
        return ""
    if kind in AROUND:
        again = f"branchline retry {run.run_id} {ctx.task.id}"
    elif run.accepted is None:
        again = f"branchline run --prompt-file {os.path.relpath(run.paths.prompt, run.paths.root)}"
    else:
        plan = run.paths.artifacts / "execution_plan.yaml"
        again = f"branchline run --plan {os.path.relpath(plan, run.paths.root)}"
    return f"{again}  # once {once}"
