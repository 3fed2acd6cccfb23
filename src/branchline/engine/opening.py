"""A run, opened from its ledger: its fixed parts, and the mark in git that vouches for the ledger."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from branchline.agents.registry import Agents
from branchline.attempt.run import Run
from branchline.attempt.sandboxed import filters_in
from branchline.attempt.secret_scan import screening, secret_values
from branchline.config.settings import Settings, recorded_settings
from branchline.core.events import MarkMissed, RunStarted, TasksAdded, Transition
from branchline.core.model.agent import Usage
from branchline.core.model.plan import Plan
from branchline.core.refs import Refs
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.engine.recover import Held, take_up
from branchline.errors import GitError, LedgerError
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.codec import Record
from branchline.ledger.log import Fault, Ledger, Reading, behind
from branchline.ledger.paths import RunPaths
from branchline.ledger.seal import key_folders
from branchline.ledger.work import WorkArea, is_of, work_area
from branchline.process.redaction import Secrets
from branchline.sandbox.bubblewrap import Sandbox
from branchline.sandbox.probe import climb


def open_run(paths: RunPaths, state: RunState) -> Run:
    """A run, opened from its ledger alone. For the sandbox of this machine see `contained`."""
    repo = Repo.open(paths.root)
    return opened(repo, paths, area(repo, paths, state.pins), state)


def opened(repo: Repo, paths: RunPaths, work: WorkArea, state: RunState) -> Run:
    """The fixed parts of a run, from its record 0; what git starts bears the run's name from now on."""
    settings = recorded_settings(state.pins)
    base, target = str(state.pins["base"]), str(state.pins["target"])
    repo.mark(paths.marker)
    # msgspec (0.22) builds its view of a type at its first use; two threads at once crash the process. The settings'
    # types have been used, a module's own are used when it is imported: this one is shared by the agents' readers.
    msgspec.json.Decoder(Usage)
    return Run(
        paths=paths,
        repo=repo,
        work=work,
        workspaces=Workspaces(repo, work.home, base=base, target=target),
        settings=settings,
        gates=settings.gates,
        accepted=accepted_plan(state),
        agents=Agents(settings.agents),
        base=base,
        target=target,
        started_at=state.started_at,
        pins=state.pins,
        environ=dict(os.environ),
        approve_plan=state.policy.approve_plan,
        inspect=screening(settings, os.environ),
        secrets=Secrets({}, secret_values(settings, os.environ)),
    )


def contained(run: Run, sandbox: Sandbox) -> Run:
    """The run, with all that it starts in that sandbox, the user's filters too."""
    if sandbox.on:
        run.repo.contain(filters_in(sandbox))
    return replace(run, sandbox=sandbox)


def shelter(repo: Repo, settings: Settings, work: WorkArea) -> Sandbox:
    """What holds what a run in `repo` starts, tried out. Raises InvalidInput if that is less than the settings ask for.

    No command sees others' work, the git directory and, where the run began in a linked worktree, the main one. The
    checkout itself needs no cover: the workspace stands there.
    """
    main = repo.common_dir.parent
    others = (main,) if repo.common_dir.name == ".git" and main != repo.root else ()
    return climb(
        settings.sandbox, os.environ, root=repo.root, covered=(work.home, *key_folders(), repo.common_dir, *others)
    )


def area(repo: Repo, paths: RunPaths, pins: Mapping[str, Any]) -> WorkArea:
    """Where the run's work is done: the folder of record 0, unless that is gone or has become another run's."""
    pinned = Path(str(pins.get("work") or ""))
    if pinned.is_absolute() and is_of(pinned, paths.run_dir):
        return WorkArea(pinned.parent, pinned)
    return work_area(os.environ, repo.common_dir, paths.run_dir, repo.root, repo.common_dir)


def accepted_plan(state: RunState) -> Plan | None:
    """The plan that the run goes by, once there is one."""
    return msgspec.convert(state.plan, Plan) if state.plan else None


def mark(run: Run, ledger: Ledger) -> None:
    """Keep the ledger's high-water mark in a git ref, away from the ledger."""
    blob = run.repo.write_blob(f"{ledger.seq - 1} {ledger.sha}\n".encode())
    run.repo.put_ref(run.refs.head, blob)


def take_over(paths: RunPaths) -> Held:
    """Take a pipeline's run up, if the mark in git vouches for its ledger. Raises InvalidInput, RunBusy, LedgerError."""

    def vouch(reading: Reading) -> None:
        if fault := git_fault(Repo.open(paths.root), paths, reading):
            raise LedgerError(
                f"the ledger {paths.ledger} does not verify: {fault}", hint=f"branchline verify {paths.run_id}"
            )

    return take_up(paths, vouch=vouch)


def git_fault(repo: Repo, paths: RunPaths, reading: Reading) -> Fault | None:
    """What the high-water mark in git says against a ledger: a Fault, or None."""
    blob, at_least = repo.read_ref(Refs(paths.run_id).head), _marked(reading.records)
    if blob is None:
        text = f"its mark in git is gone ({Refs(paths.run_id).head}), which record {at_least} had"
        return None if at_least < 0 else Fault(reading.count, reading.size, text)
    number, sha = _said(repo, blob)
    if number < at_least:
        return Fault(number, reading.size, f"its mark in git is of record {number}, and record {at_least} had one")
    return behind(reading.records, reading.size, number, sha)


def _said(repo: Repo, blob: str) -> tuple[int, str]:
    """The record that a mark names; one that nobody can read names none."""
    with suppress(GitError, ValueError):
        number, _, sha = repo.read_blob(blob).decode().strip().partition(" ")
        return int(number), sha
    return -1, ""


def _marked(records: Sequence[Record]) -> int:
    """The last record that must have a mark in git, or -1: it ended a checkpoint, and the same process wrote more after it."""
    named = {
        task.id
        for one in records
        if isinstance(one.event, RunStarted | TasksAdded)
        for task in one.event.tasks
        if task.checkpoint
    }
    later = records[-1] if records else None
    missed = False
    for one in reversed(records):
        move = one.event
        missed = missed or isinstance(move, MarkMissed)
        done = isinstance(move, Transition) and move.new_state == State.COMPLETED and move.task_id in named
        if done and missed:
            missed = False
        elif done and later is not None and later.epoch == one.epoch and later.at > one.at:
            return one.seq
        if later is None or one.epoch != later.epoch:
            later = one
    return -1
