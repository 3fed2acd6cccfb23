"""All questions of preflight: asked for a run that begins, and by `doctor` for one that could."""

from collections.abc import Iterator

from branchline.attempt.preflight.declared import of_gates, of_ports, of_setup, of_ways_back
from branchline.attempt.preflight.machine import observed, of_disks, of_room
from branchline.attempt.preflight.remark import Remark, remarks_on
from branchline.attempt.preflight.repository import of_names, of_repository, of_target
from branchline.attempt.run import Run
from branchline.git import storage


def remarks(run: Run) -> Iterator[Remark]:
    """What is to be said of a run before it begins, but for its agents."""
    repo, settings = run.repo, run.settings
    network = settings.sandbox.network
    yield from of_gates(run.gates)
    yield from of_names(repo, run.run_id, run.accepted, settings.ship)
    yield from of_target(repo, run.target, settings.ship)
    yield from of_repository(repo, run.base, dirty=bool(run.pins["dirty"]))
    yield from remarks_on("storage", storage.problems(repo, run.base, run.target, settings.ship.mode))
    yield from of_disks(observed(repo.common_dir, lock=repo.common_dir / "HEAD"), observed(run.work.folder))
    yield from of_room(run.work.room("task_000_execute", 1))
    yield from of_setup(repo, run.base, settings.setup, mounted=run.sandbox.on)
    yield from of_ports(run.accepted, settings, apart=run.sandbox.on and network in {"none", "loopback"})
    yield from of_ways_back(repo.root, run.environ, settings, run.sandbox)
