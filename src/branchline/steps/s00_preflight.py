"""Step 0: is everything there that the run will need? Nothing else runs until it is."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from branchline.agents.access import reaches_out
from branchline.agents.base import Probe
from branchline.attempt.agent_call import chosen
from branchline.attempt.run import Run, StepContext
from branchline.attempt.templates import problems
from branchline.core.facts import Preflight
from branchline.core.model.limits import WEAK
from branchline.core.model.sandbox import ASKED_FOR, sandbox_words
from branchline.core.refs import tag_ref
from branchline.core.result import Failure, Success
from branchline.git.checkout import is_dirty
from branchline.git.command import version
from branchline.git.target import checked_out_at
from branchline.process.containment import held_by

LEAST_FREE_MB = 200


def run(ctx: StepContext) -> Success | Failure:
    """Write `preflight.json`; fail if something is missing that the plan cannot do without."""
    seen = _survey(ctx.run)
    path = ctx.run.paths.artifacts / "preflight.json"
    path.write_text(json.dumps(seen, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if seen["missing"]:
        return Failure("; ".join(seen["missing"]), error_class="preflight", retryable=False, hint=seen["hint"])
    ctx.checkpoint("preflight", ctx.run.base)
    fact = Preflight(
        task_id=ctx.task.id,
        report=ctx.run.inside(path),
        warnings=tuple(seen["warnings"]),
        absent=tuple(seen["absent"]),
        containment=seen["containment"],
    )
    return Success(fact)


def _survey(run: Run) -> dict[str, Any]:
    chains = {name: chosen(run.agents, name) for name in _needed(run)}
    others = [spec.id for spec in run.settings.agents] if run.accepted is None else []
    probes = _probes(run, {*others, *(name for names in chains.values() for name in names)})
    tools = {gate.id: shutil.which(gate.verify[0]) for gate in run.gates}
    missing = [
        f"agent {name} cannot run here: {probes[name].hint}"
        for name, names in chains.items()
        if not any(probes[one].available for one in names)
    ]
    hint = next((probes[n].hint for n, names in chains.items() if not any(probes[one].available for one in names)), "")
    missing += _blind(run)
    missing += problems(run)
    missing += [
        f"gate {gate.id} is required, and {gate.verify[0]} is not installed"
        for gate in run.gates
        if gate.required and not tools[gate.id] and "/" not in gate.verify[0]
    ]
    if run.tag and run.repo.refs.status_of("check-ref-format", tag_ref(run.tag)).code != 0:
        missing.append(f"ship.tag gives {run.tag!r}, which git does not take as the name of a tag")
    if not os.access(run.repo.common_dir / "objects", os.W_OK):
        missing.append(f"the git directory {run.repo.common_dir} cannot be written")
    held = "sandbox" if run.sandbox.on else held_by(run.settings.limits.containment)
    free_mb = shutil.disk_usage(run.paths.root).free // 2**20
    if free_mb < LEAST_FREE_MB:
        missing.append(f"only {free_mb} MB are free on the disk of {run.paths.root}")
    return {
        "versions": {**run.pins["versions"], "git": ".".join(map(str, version()))},
        "paths": {"repository": str(run.repo.root), "git": str(run.repo.common_dir), "run": str(run.paths.run_dir)},
        "base": run.base,
        "target": run.target,
        "dirty": run.pins["dirty"],
        "agents": {name: {"path": probe.path, "version": probe.version} for name, probe in probes.items()},
        "gates": tools,
        "sandbox": msgspec.to_builtins(run.sandbox.fact),
        "containment": held,
        "free_mb": free_mb,
        "absent": sorted(name for name, probe in probes.items() if not probe.available),
        "missing": missing,
        "hint": hint,
        "warnings": [*([WEAK] if held == "group" else []), *_untried(probes), *_warnings(run, tools)],
    }


def _needed(run: Run) -> list[str]:
    """The agents that the run begins with: the planner's and the reviewer's, and those of its workstreams."""
    settings = run.settings
    planner = (settings.planning.agent or settings.agent,) if run.accepted is None else ()
    named = {w.agent or settings.agent for w in run.accepted.workstreams} if run.accepted else {settings.agent}
    others = (settings.review.agent, settings.repair.takeover)
    return sorted({*planner, *named, *filter(None, others)})


def _probes(run: Run, names: Iterable[str]) -> dict[str, Probe]:
    """What is there of each agent; asked at once, because each may have to start its program to learn its version."""
    ordered = sorted(names)
    with ThreadPoolExecutor(max_workers=4) as pool:
        return dict(zip(ordered, pool.map(lambda name: run.agents[name].probe(), ordered), strict=True))


def _blind(run: Run) -> list[str]:
    """The agents that would have to plan or review and cannot be kept from writing."""
    settings = run.settings
    readers = [("review", "review", settings.review.agent)]
    if run.accepted is None:
        readers.append(("plan", "planning", settings.planning.agent or settings.agent))
    return [
        f"agent {name} cannot {what}: it has no way of only reading; name another under `{key}:`"
        for what, key, name in readers
        if name and "read" not in run.agents[name].abilities
    ]


def _untried(probes: Mapping[str, Probe]) -> list[str]:
    return [
        f"agent {name} is version {probe.version}, which has not been tested: {probe.hint or 'it may behave differently'}"
        for name, probe in probes.items()
        if probe.available and probe.tested is False
    ]


def _openings(run: Run) -> list[str]:
    """What the sandbox does not hold, and what it would keep an agent from."""
    fact, settings = run.sandbox.fact, run.settings
    if not run.sandbox.on:
        return [] if fact.why == ASKED_FOR else [f"sandbox: {sandbox_words(fact)}"]
    alone = fact.network in {"none", "loopback"}
    needed = {name for one in _needed(run) for name in chosen(run.agents, one)} if alone else set()
    return [
        f"agent {name} talks to {run.agents[name].provider}, which `sandbox.network: {fact.network}` shuts off: "
        "list that host, or set `meter: true` for the agent"
        for name in sorted(needed)
        if reaches_out(run.agents[name]) and not run.agents[name].spec.meter and settings.cassettes.mode == "off"
    ]


def _warnings(run: Run, tools: dict[str, str | None]) -> list[str]:
    warnings = [f"gate {name} will be skipped: its tool is not installed" for name, path in tools.items() if not path]
    warnings += _openings(run)
    idle = [w.id for w in run.accepted.workstreams if not (w.prompt or w.title or w.script)] if run.accepted else []
    if idle and run.accepted and not run.accepted.goal:
        warnings.append(f"nothing says what is to be done in {', '.join(idle)}: no prompt, no title, no goal")
    if not run.gates:
        warnings.append("there are no gates: nothing will be verified")
    if run.repo.is_shallow():
        warnings.append("the repository is a shallow clone: history before its cut is not there to merge with")
    if run.repo.has_submodules(run.base):
        warnings.append("the repository has submodules: they stay empty in worktrees and must not be changed")
    if run.pins["dirty"]:
        warnings.append("the checkout has uncommitted changes: they are not part of the run")
    if run.settings.ship.mode == "merge":
        warnings += [
            f"{checkout} is on {run.target} and has uncommitted changes: nothing can ship to it before they are committed"
            for checkout in checked_out_at(run.repo, run.target)
            if is_dirty(run.repo, checkout)
        ]
    return warnings
