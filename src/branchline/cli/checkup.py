"""What `doctor` looks at. Every finding is a fact, how bad it is, and what to type."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from branchline.agents.registry import agents
from branchline.cli.history import history_of
from branchline.config.load import SETTINGS_FILE, load_settings
from branchline.config.settings import Settings
from branchline.core.verdict import Gate
from branchline.errors import BranchlineError, InvalidInput
from branchline.gates.presets import expand
from branchline.git.command import OLDEST, version
from branchline.git.repo import Repo
from branchline.ledger.paths import RunPaths, run_ids
from branchline.views.text import count

NEEDED = ("commondir", "gitdir", "HEAD")  # files without which a worktree's registration stops every git


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`missing`: a run cannot do without it; `warning`: it can, but say so. `next` is the command that mends it."""

    name: str
    state: Literal["ok", "warning", "missing"]
    detail: str
    next: str = ""


def examine(path: Path) -> list[Finding]:
    """Everything, in the order in which it should be mended."""
    return list(_findings(path))


def _findings(path: Path) -> Iterator[Finding]:
    try:
        found = ".".join(map(str, version()))
        yield Finding(name="git", state="ok", detail=f"{found} (at least {'.'.join(map(str, OLDEST))})")
    except InvalidInput as error:
        yield Finding(name="git", state="missing", detail=error.message, next=error.hint)
        return
    yield Finding(name="python", state="ok", detail=platform.python_version())
    try:
        repo = Repo.open(path)
    except BranchlineError as error:
        yield Finding(name="repository", state="missing", detail=error.message, next=error.hint)
        return
    yield from _repository(repo)
    yield from _configuration(repo)
    yield from _worktrees(repo)
    yield from _runs(repo.root)


def _repository(repo: Repo) -> Iterator[Finding]:
    branch = repo.head_branch()
    if branch is None:
        detail = f"{repo.root} has a detached HEAD: a run needs to be told its base"
        yield Finding(name="repository", state="warning", detail=detail, next="branchline run --base BRANCH")
    else:
        yield Finding(name="repository", state="ok", detail=f"{repo.root} on {branch}")
    if repo.is_dirty():
        detail = "it has uncommitted changes, which no run sees and no run touches"
        yield Finding(name="checkout", state="warning", detail=detail, next="git status")
    if repo.is_shallow():
        detail = "it is a shallow clone: history before its cut cannot be merged with"
        yield Finding(name="history", state="warning", detail=detail, next="git fetch --unshallow")
    if repo.has_submodules(repo.head_commit()):
        detail = "it has submodules: they stay empty in worktrees and must not be changed"
        yield Finding(name="submodules", state="warning", detail=detail)


def _configuration(repo: Repo) -> Iterator[Finding]:
    try:
        settings = load_settings(None, root=repo.root)
        gates = (*settings.gates, *expand(settings.presets, root=repo.root))
    except BranchlineError as error:
        yield Finding(name="configuration", state="missing", detail=error.message, next=error.hint)
        return
    if gates:
        yield Finding(name="configuration", state="ok", detail=count(len(gates), "gate"))
    else:
        there = (repo.root / SETTINGS_FILE).exists()
        again = f"add gates to {SETTINGS_FILE}" if there else "branchline init"
        yield Finding(name="configuration", state="warning", detail="no gates: nothing will be checked", next=again)
    yield from _agents(settings)
    for gate in gates:
        yield _gate(gate)


def _agents(settings: Settings) -> Iterator[Finding]:
    for name, agent in agents(settings.agents).items():
        probe = agent.probe()
        state: Literal["warning", "missing"] = "missing" if name == settings.agent else "warning"
        if probe.available:
            words = " ".join(filter(None, (probe.version, probe.path)))
            yield Finding(name=f"agent {name}", state="ok", detail=words)
        else:
            yield Finding(name=f"agent {name}", state=state, detail="it cannot be run here", next=probe.hint)


def _gate(gate: Gate) -> Finding:
    tool, name = gate.verify[0], f"gate {gate.id}"
    if found := shutil.which(tool):
        return Finding(name=name, state="ok", detail=found)
    if "/" in tool:
        return Finding(name=name, state="ok", detail=f"{tool}, a file of the repository")
    if gate.required:
        return Finding(name=name, state="missing", detail=f"{tool} is not installed, and the gate is required")
    return Finding(name=name, state="warning", detail=f"{tool} is not installed: the gate will check nothing")


def _worktrees(repo: Repo) -> Iterator[Finding]:
    registered = repo.common_dir / "worktrees"
    for admin in sorted(registered.iterdir()) if registered.is_dir() else ():
        lacking = [name for name in NEEDED if not (admin / name).is_file() or not (admin / name).stat().st_size]
        if lacking:
            detail = f"{admin.name} is registered without {' and '.join(lacking)}: git may fail everywhere"
            yield Finding(name="worktree", state="warning", detail=detail, next=f"rm -r {admin}")


def _runs(root: Path) -> Iterator[Finding]:
    for run_id in run_ids(root):
        try:
            history = history_of(RunPaths(root, run_id))
        except BranchlineError as error:
            yield Finding(name=f"run {run_id}", state="warning", detail=error.message, next=error.hint)
            continue
        if history.state.end is None and not history.live:
            again = f"branchline resume {run_id}"
            yield Finding(name=f"run {run_id}", state="warning", detail="it was interrupted", next=again)
