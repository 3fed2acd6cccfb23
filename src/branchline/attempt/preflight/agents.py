"""Questions about the agents of a run: whether they are here, can do what they are needed for, and are let through."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from branchline.agents.access import reaches_out
from branchline.agents.base import Probe
from branchline.attempt.agent_call import chosen
from branchline.attempt.preflight.remark import Remark
from branchline.attempt.run import Run
from branchline.core.model.sandbox import ASKED_FOR, sandbox_words


def of_agents(run: Run, probes: Mapping[str, Probe]) -> Iterator[Remark]:
    """What the run's agents lack."""
    for name in needed(run):
        if not any(probes[one].available for one in chosen(run.agents, name)):
            yield Remark(f"agent {name}", f"agent {name} cannot run here", probes[name].hint, stops=True)
    yield from _blind(run)
    for name, probe in probes.items():
        if probe.available and probe.tested is False:
            text = f"agent {name} is version {probe.version}, which has not been tested"
            yield Remark(f"agent {name}", f"{text}: {probe.hint or 'it may behave differently'}")
    yield from _shut_off(run)
    plan = run.accepted
    idle = [w.id for w in plan.workstreams if not (w.prompt or w.title or w.script)] if plan and not plan.goal else []
    if idle:
        yield Remark("plan", f"nothing says what is to be done in {', '.join(idle)}: no prompt, no title, no goal")


def probed(run: Run) -> dict[str, Probe]:
    """What is there of each agent; asked at once, because each may have to start its program to learn its version."""
    others = [spec.id for spec in run.settings.agents] if run.accepted is None else []
    ordered = sorted({*others, *(one for name in needed(run) for one in chosen(run.agents, name))})
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(ordered, pool.map(lambda name: run.agents[name].probe(), ordered), strict=True))


def needed(run: Run) -> list[str]:
    """The agents that the run begins with: the planner's and the reviewer's, and those of its workstreams."""
    settings = run.settings
    planner = (settings.planning.agent or settings.agent,) if run.accepted is None else ()
    named = {w.agent or settings.agent for w in run.accepted.workstreams} if run.accepted else {settings.agent}
    others = (settings.review.agent, settings.repair.takeover)
    return sorted({*planner, *named, *filter(None, others)})


def _blind(run: Run) -> Iterator[Remark]:
    """The agents that would have to plan or review and cannot be kept from writing."""
    settings = run.settings
    readers = [("review", "review", settings.review.agent)]
    if run.accepted is None:
        readers.append(("plan", "planning", settings.planning.agent or settings.agent))
    for what, key, name in readers:
        if name and "read" not in run.agents[name].abilities:
            text = f"agent {name} cannot {what}: it has no way of only reading; name another under `{key}:`"
            yield Remark(f"agent {name}", text, stops=True)


def _shut_off(run: Run) -> Iterator[Remark]:
    """What the sandbox does not hold, and what it would keep an agent from."""
    fact = run.sandbox.fact
    if not run.sandbox.on:
        if fact.why != ASKED_FOR:
            yield Remark("sandbox", f"sandbox: {sandbox_words(fact)}")
        return
    alone = fact.network in {"none", "loopback"}
    for name in sorted({name for one in needed(run) for name in chosen(run.agents, one)} if alone else ()):
        agent = run.agents[name]
        if reaches_out(agent) and not agent.spec.meter:
            text = f"agent {name} talks to {agent.provider}, which `sandbox.network: {fact.network}` shuts off"
            yield Remark(f"agent {name}", text, "list that host, or set `meter: true` for the agent")
