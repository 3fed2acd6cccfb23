"""All questions of preflight: asked for a run that begins, and by `doctor` for one that could."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from branchline.attempt.preflight.declared import of_gates, of_ports, of_setup, of_ways_back
from branchline.attempt.preflight.machine import observed, of_disks, of_room
from branchline.attempt.preflight.remark import Remark, remarks_on
from branchline.attempt.preflight.repository import of_names, of_repository, of_target
from branchline.config.settings import Settings
from branchline.core.model.plan import Plan
from branchline.git import storage
from branchline.git.repo import Repo
from branchline.ledger.work import WorkArea
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
