"""Set-up of a fresh checkout: files from the user's checkout, then commands. None of it ever enters a batch."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from branchline.attempt.run import Attempt, Place
from branchline.attempt.sandboxed import commands_in_sandbox, refused_words
from branchline.core.durations import seconds
from branchline.core.model.limits import LIMIT_REASONS
from branchline.core.rules.globs import matches_any
from branchline.core.work import Failure, StepFailed
from branchline.git.commit import Snapshot, snapshot
from branchline.git.folders import files_below
from branchline.process import spawn
from branchline.process.environment import allowed
from branchline.process.spawn import CannotStart

Setup = dict[str, str | None]
PASSED_OVER = frozenset({".git", ".runs"})


def set_up(ctx: Attempt, path: Path, base_tree: str) -> Setup:
    """Carry `setup` out in `path`; what it left: path -> blob id.

    None stands for what it deleted or what cannot be in a tree, such as a link out of it. Raises StepFailed when a
    command fails.
    """
    setup = ctx.run.settings.setup
    if not (setup.copy or setup.symlink or setup.run):
        return {}
    root = ctx.run.repo.root
    for name in setup.symlink:
        if not ctx.run.sandbox.on:
            if (root / name).exists() and not (path / name).exists():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).symlink_to(root / name)
        elif (root / name).is_file():  # folders are mounted
            shutil.copy2(root / name, path / name)
    for name in files_to_copy(root, setup.copy):
        if not (path / name).is_symlink():  # one of the repository's own stays
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, path / name, follow_symlinks=False)
    for number, argv in enumerate(setup.run, start=1):
        ctx.say(f"set-up {number} of {len(setup.run)}")
        log = ctx.folder / f"setup{number}.log"
        try:
            _command(ctx, argv, path, log, seconds(setup.timeout))
        finally:
            ctx.run.secrets.clean_file(log)
    taken = seen(ctx.run, path, base_tree, wanted=lambda _: True)
    made: Setup = dict.fromkeys([*(one.path for one in taken.refused), *taken.ignored])
    for change in ctx.run.repo.changes(base_tree, taken.tree):
        made[change.path] = None if change.status == "D" else change.new_oid
    return made


def seen(run: Place, path: Path, tree: str, wanted: Callable[[str], bool] | None = None) -> Snapshot:
    """What is in a workspace that began as `tree`. `wanted`: whether to name a file that is ignored."""
    git, scratch = run.workspaces.content(path), run.paths.scratch
    return snapshot(git, path, tree, scratch=scratch, inspect=run.inspect, wanted=wanted)


def files_to_copy(root: Path, entries: Iterable[str]) -> list[str]:
    """The files below `root` that entries name: a file, a folder with all that is in it, or a glob. A name costs no walk."""
    found, wild = [], list[str]()
    for entry in entries:
        place = root / entry
        if place.is_symlink() or place.is_file():
            found.append(entry)
        elif place.is_dir():
            found += [f"{entry.rstrip('/')}/{path}" for path in files_below(place, PASSED_OVER)]
        elif set(entry) & set("*?["):
            wild.append(entry)
    found += [path for path in (files_below(root, PASSED_OVER) if wild else ()) if matches_any(wild, path)]
    return sorted(set(found))


def _command(ctx: Attempt, argv: tuple[str, ...], path: Path, log: Path, timeout: float) -> None:
    environ = allowed(ctx.run.environ, pass_=ctx.run.settings.env, extra={"BRANCHLINE_ROOT": str(ctx.run.repo.root)})
    held = ctx.confinement(None, path)
    try:
        with commands_in_sandbox(ctx.run, path) as entered:
            ended = spawn.run(
                argv,
                cwd=path,
                env=environ,
                stdout=log,
                stderr=log,
                timeout=timeout,
                kill=ctx.kill,
                marker=ctx.marker,
                confinement=entered.around(held),
            )
    except CannotStart as error:
        raise StepFailed(Failure(f"set-up: {error.message}", error_class="setup", retryable=False)) from error
    if ended.ok:
        return
    reason = ended.reason or (f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}")
    kind, how = "setup", f"ended by {reason}{refused_words(entered.refused())}"
    if ended.reason in LIMIT_REASONS:
        kind, how = ended.reason, f"was stopped: {held.limits.excess(ended.reason)}"
    raise StepFailed(Failure(f"set-up command {argv[0]} {how}; see {ctx.run.inside(log)}", error_class=kind))
