"""All questions of preflight: asked for a run that begins, and by `doctor` for one that could."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from branchline.attempt.asking.templates import problems
from branchline.attempt.preflight.agents import of_agents, probed
from branchline.attempt.preflight.declared import of_gates, of_ports, of_setup, of_ways_back
from branchline.attempt.preflight.machine import observed, of_disks, of_room
from branchline.attempt.preflight.remark import Remark, remarks_on
from branchline.attempt.preflight.repository import of_names, of_repository, of_target
from branchline.attempt.run import Run
from branchline.config.settings import Settings
from branchline.core.model.limits import WEAK
from branchline.core.model.plan import Plan
from branchline.git import storage
from branchline.git.command import version
from branchline.git.repo import Repo
from branchline.ledger.work import WorkArea
from branchline.process.containment import held_by
from branchline.sandbox.bubblewrap import Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A run that starts at the commit `base`. `settings`: with the gates of its presets; `dirty`: the checkout is."""

    repo: Repo
    settings: Settings
    plan: Plan | None
    run_id: str
    base: str
    target: str
    dirty: bool
    work: WorkArea
    sandbox: Sandbox
    environ: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Survey:
    """What preflight found. `report`: `preflight.json`; `absent`: agents that are not installed."""

    missing: tuple[Remark, ...]
    warnings: tuple[Remark, ...]
    absent: tuple[str, ...]
    containment: str
    report: dict[str, Any]


def remarks(run: Subject) -> Iterator[Remark]:
    """What is to be said of a run before it begins, but for its agents."""
    repo, settings = run.repo, run.settings
    network = settings.sandbox.network
    yield from of_gates(settings.gates)
    yield from of_names(repo, run.run_id, run.plan, settings.ship)
    yield from of_target(repo, run.target, settings.ship)
    yield from of_repository(repo, run.base, dirty=run.dirty)
    yield from remarks_on("storage", storage.problems(repo, run.base, run.target, settings.ship.mode))
    yield from of_disks(observed(repo.common_dir, lock=repo.common_dir / "HEAD"), observed(run.work.folder))
    yield from of_room(run.work.room("task_000_execute", 1))
    yield from of_setup(repo, run.base, settings.setup, mounted=run.sandbox.on)
    yield from of_ports(run.plan, settings, apart=run.sandbox.on and network in {"none", "loopback"})
    yield from of_ways_back(repo.root, run.environ, settings, run.sandbox)


def survey(run: Run) -> Survey:
    """Ask everything; nothing is changed."""
    settings = run.settings
    subject = Subject(
        repo=run.repo,
        settings=settings,
        plan=run.accepted,
        run_id=run.run_id,
        base=run.base,
        target=run.target,
        dirty=bool(run.pins["dirty"]),
        work=run.work,
        sandbox=run.sandbox,
        environ=run.environ,
    )
    probes = probed(run)
    held = "sandbox" if run.sandbox.on else held_by(settings.limits.containment)
    found = [
        *([Remark("containment", WEAK)] if held == "group" else []),
        *of_agents(run, probes),
        *(Remark("prompts", text, stops=True) for text in problems(run)),
        *remarks(subject),
    ]
    missing, warnings = (tuple(one for one in found if one.stops is stops) for stops in (True, False))
    absent = tuple(sorted(name for name, probe in probes.items() if not probe.available))
    report = {
        "versions": {**run.pins["versions"], "git": ".".join(map(str, version()))},
        "paths": {"repository": str(run.repo.root), "git": str(run.repo.common_dir), "run": str(run.paths.run_dir)},
        "base": run.base,
        "target": run.target,
        "dirty": run.pins["dirty"],
        "agents": {name: {"path": probe.path, "version": probe.version} for name, probe in probes.items()},
        "gates": {gate.id: shutil.which(gate.verify[0]) for gate in run.gates},
        "sandbox": msgspec.to_builtins(run.sandbox.fact),
        "containment": held,
        "free_mb": shutil.disk_usage(os.fspath(run.paths.root)).free // 2**20,
        "absent": list(absent),
        "missing": list(map(str, missing)),
        "warnings": list(map(str, warnings)),
    }
    return Survey(missing, warnings, absent, held, report)
