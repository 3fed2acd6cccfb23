"""Step 0: is everything there that the run will need? Nothing else runs until it is."""

import shutil

import msgspec

from branchline.attempt.asking.prompts import problems
from branchline.attempt.preflight.agents import of_agents, probed
from branchline.attempt.preflight.remark import Remark, commands
from branchline.attempt.preflight.survey import remarks
from branchline.attempt.run import StepContext
from branchline.core.facts import Preflight
from branchline.core.model.limits import WEAK
from branchline.core.refs import branch_ref
from branchline.core.work import Failure, Success
from branchline.git.command import version
from branchline.git.storage import fetch
from branchline.process.containment import held_by


def run(ctx: StepContext) -> Success | Failure:
    """Ask everything, write `preflight.json`, and fail if something is missing that the plan cannot do without."""
    run, repo = ctx.run, ctx.run.repo
    tip = repo.read_ref(branch_ref(run.target)) if run.target else None
    fetch(repo, [run.base, *([tip] if tip else [])])
    probes = probed(run)
    held = "sandbox" if run.sandbox.on else held_by(run.settings.limits.containment)
    found = [
        *([Remark("containment", WEAK)] if held == "group" else []),
        *of_agents(run, probes),
        *(Remark("prompts", text, stops=True) for text in problems(run)),
        *remarks(run),
    ]
    missing, warnings = (tuple(str(one) for one in found if one.stops is stops) for stops in (True, False))
    absent = tuple(sorted(name for name, probe in probes.items() if not probe.available))
    report = {
        "versions": {**run.pins["versions"], "git": ".".join(map(str, version()))},
        "paths": {"repository": str(repo.root), "git": str(repo.common_dir), "run": str(run.paths.run_dir)},
        "base": run.base,
        "target": run.target,
        "dirty": run.pins["dirty"],
        "agents": {name: {"path": probe.path, "version": probe.version} for name, probe in probes.items()},
        "gates": {gate.id: shutil.which(gate.verify[0]) for gate in run.gates},
        "sandbox": msgspec.to_builtins(run.sandbox.fact),
        "containment": held,
        "free_mb": shutil.disk_usage(run.paths.root).free // 2**20,
        "absent": absent,
        "missing": missing,
        "warnings": warnings,
    }
    kept = run.keep_data("preflight.json", report)
    if missing:
        hint = commands(one for one in found if one.stops)
        return Failure("; ".join(missing), error_class="preflight", retryable=False, hint=hint)
    ctx.checkpoint("preflight", run.base)
    return Success(Preflight(task_id=ctx.task.id, report=kept, warnings=warnings, absent=absent, containment=held))
