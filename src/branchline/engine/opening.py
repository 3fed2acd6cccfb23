"""A run, opened from its ledger: its fixed parts, and the mark in git that vouches for the ledger."""

import os
from pathlib import Path

import msgspec

from branchline.agents.registry import Agents
from branchline.attempt.run import Run
from branchline.attempt.sandboxed import filters_in
from branchline.attempt.secret_scan import screening, secret_values
from branchline.config.removed import recorded_settings
from branchline.core.model.agent import Usage
from branchline.core.model.plan import Plan
from branchline.core.refs import Refs
from branchline.core.run_state import RunState
from branchline.errors import LedgerError
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.log import Fault, Ledger, Reading, behind
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import WorkArea, is_of, work_area
from branchline.process.redaction import Secrets
from branchline.sandbox.bubblewrap import OPEN, Sandbox


def open_run(paths: RunPaths, state: RunState, sandbox: Sandbox = OPEN) -> Run:
    """The fixed parts of a run, from its record 0 alone, but for the sandbox of this machine."""
    settings = recorded_settings(state.pins)
    repo = Repo.open(paths.root, marker=paths.marker)
    work = area(repo, paths, state)
    if sandbox.on:
        repo.contain(filters_in(sandbox))
    # msgspec (0.22) builds its view of a type at its first use; two threads at once crash the process. The settings'
    # types have been used, a module's own are used when it is imported: this one is shared by the agents' readers.
    msgspec.json.Decoder(Usage)
    return Run(
        paths=paths,
        repo=repo,
        work=work,
        workspaces=Workspaces(repo, work.home, base=str(state.pins["base"]), target=str(state.pins["target"])),
        settings=settings,
        gates=settings.gates,
        accepted=accepted_plan(state),
        agents=Agents(settings.agents),
        base=str(state.pins["base"]),
        target=str(state.pins["target"]),
        started_at=state.started_at,
        pins=state.pins,
        environ=dict(os.environ),
        approve_plan=state.policy.approve_plan,
        sandbox=sandbox,
        inspect=screening(settings, os.environ),
        secrets=Secrets({}, secret_values(settings, os.environ)),
    )


def area(repo: Repo, paths: RunPaths, state: RunState) -> WorkArea:
    """Where the run's work is done: the folder of record 0, unless that is gone or has become another run's."""
    pinned = Path(str(state.pins.get("work") or ""))
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


def vouch(repo: Repo, paths: RunPaths, reading: Reading) -> None:
    """Compare a ledger with the mark in git. Raises LedgerError."""
    if fault := git_fault(repo, paths, reading):
        raise LedgerError(
            f"the ledger {paths.ledger} does not verify: {fault}", hint=f"branchline verify {paths.run_id}"
        )


def git_fault(repo: Repo, paths: RunPaths, reading: Reading) -> Fault | None:
    """What the high-water mark in git says against a ledger: a Fault, or None."""
    blob = repo.read_ref(Refs(paths.run_id).head)
    if blob is None:
        return None
    number, _, sha = repo.read_blob(blob).decode().strip().partition(" ")
    return behind(reading.records, reading.size, int(number), sha)
