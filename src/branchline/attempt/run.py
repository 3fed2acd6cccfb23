"""What a step is given: the run's fixed parts, its own task, what earlier steps handed on."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from branchline.agents.base import Agent
from branchline.attempt.secret_scan import Screening
from branchline.config.settings import Settings
from branchline.core.budget import Purse
from branchline.core.events import ApprovalDecided
from branchline.core.facts import Fact
from branchline.core.graph import Task
from branchline.core.model.limits import ProcessLimits
from branchline.core.model.plan import Plan, Workstream
from branchline.core.model.verdict import Gate
from branchline.core.refs import Refs, branch_ref
from branchline.core.run_state import RunState
from branchline.core.workstream import PipelineState, WorkstreamState
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.codec import Record
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import WorkArea
from branchline.process.containment import Confinement
from branchline.process.redaction import Secrets
from branchline.process.spawn import KillSwitch
from branchline.sandbox.bubblewrap import OPEN, Sandbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the work of a run is done: this machine's part of it, and what is the same for all its attempts.

    `base` is a commit; `inspect` looks for secrets in what is to become an object of the repository; `secrets`: those that
    no text may hold.
    """

    paths: RunPaths
    repo: Repo
    work: WorkArea
    workspaces: Workspaces
    settings: Settings
    gates: tuple[Gate, ...]
    agents: Mapping[str, Agent]
    base: str
    started_at: int
    environ: Mapping[str, str]
    sandbox: Sandbox = OPEN
    inspect: Screening | None = None
    secrets: Secrets = field(default_factory=lambda: Secrets({}))

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.paths.run_id

    @property
    def commit_time(self) -> int:
        """Unix seconds that every commit of the run bears, so that its ids can be made again."""
        return self.started_at // 1000

    @property
    def refs(self) -> Refs:
        """The names of the run's refs."""
        return Refs(self.run_id)

    def branch(self, workstream: str) -> str:
        """A workstream's branch; without a workstream the integration branch."""
        return self.refs.feature(workstream) if workstream else self.refs.integration

    def put_branch(self, workstream: str, commit: str) -> None:
        """Point a branch of the run at a commit; a commit that somebody else has made there gets a ref of its own first."""
        repo, ref = self.repo, branch_ref(self.branch(workstream))
        at = repo.read_ref(ref)
        if at not in {None, commit} and not repo.is_ancestor(at, commit) and not repo.is_ours(at):
            repo.keep_ref(self.refs.moved(ref), at)
        repo.move_ref(ref, commit, at)

    def inside(self, path: Path) -> str:
        """A path of the run's folder, as facts hold it."""
        return path.relative_to(self.paths.run_dir).as_posix()

    def workspace(self, workstream: str) -> Path:
        """Where a workstream's agent works."""
        return self.work.workspaces / workstream

    def seen_at(self, path: Path) -> Path:
        """Where the commands that run in a workspace see it: in the sandbox it stands where the checkout stands."""
        return self.repo.root if self.sandbox.on else path


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Place):
    """What does not change during a run. `target` is a branch (empty when HEAD was detached).

    `accepted`: the plan, as soon as there is one. `approve_plan`: a planner's plan waits for a person.
    """

    accepted: Plan | None
    target: str
    pins: Mapping[str, Any]
    approve_plan: bool = False

    @property
    def plan(self) -> Plan:
        """The accepted plan; there is one from step 3 on."""
        assert self.accepted is not None
        return self.accepted

    @property
    def has_several(self) -> bool:
        """Whether workstreams are at work at the same time."""
        return self.settings.max_parallel != 1 and self.accepted is not None and len(self.plan.ids) > 1

    @property
    def tag(self) -> str:
        """The tag that `ship.tag` asks for; empty for none."""
        return self.refs.tag(self.settings.ship.tag)

    @property
    def place(self) -> Place:
        """Its place and no more: what an attempt's work is done with."""
        return Place(**{one.name: getattr(self, one.name) for one in fields(Place)})

    def keep(self, name: str, text: str) -> str:
        """Write a text into the run's artifacts, and return its path, as facts hold it."""
        path = self.paths.artifacts / name
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        return self.inside(path)

    def keep_data(self, name: str, data: Any) -> str:
        """Like `keep`, as JSON: equal data give equal bytes."""
        return self.keep(name, json.dumps(data, indent=1, sort_keys=True) + "\n")

    def history(self) -> tuple[tuple[Record, ...], RunState]:
        """The ledger as it stands, for views."""
        reading = read(self.paths)
        return reading.records, require(reading, self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of one step where its work is done. It knows nothing of the ledger or of other steps.

    `purse` is what its agents may spend; `told` are facts that the ledger gets even if the step fails:
    agents that were called, worktrees that were saved. `part`: which of several pieces of work it is.
    """

    run: Place
    task: Task
    attempt: int
    part: str = ""
    kill: KillSwitch
    say: Callable[[str], None]
    purse: Purse = field(default_factory=Purse)
    told: list[Fact] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The attempt's own folder, or that of a part of it; made on first use."""
        folder = self.run.paths.attempt(self.task.id, self.attempt) / self.part
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def confinement(self, own: ProcessLimits | None, *grows: Path) -> Confinement:
        """The limits of a command, `own` before those of the settings; `grows`: the folders whose growth they bound."""
        return Confinement(limits=own or self.run.settings.limits, grows=grows)

    @property
    def marker(self) -> str:
        """The name that the attempt's processes carry."""
        return f"{self.run.paths.marker}/{self.task.id}/{self.attempt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext(Attempt):
    """What a step is given: its attempt, the whole run, and `state`: what the others had come to when it began.

    `decision`: what a person has said of this task, if it had to wait.
    """

    run: Run
    state: PipelineState
    decision: ApprovalDecided | None = None

    @property
    def workstream(self) -> Workstream:
        """The workstream of a step that fans out."""
        return self.run.plan.workstream(self.task.workstream)

    @property
    def ws(self) -> WorkstreamState:
        """What this attempt's workstream has come to."""
        return self.of(self.task.workstream)

    @property
    def own(self) -> dict[str, Any]:
        """What every `Work` of this attempt begins with: whose it is, and the money that is left."""
        task, left = self.task, self.purse.left
        named = Task(id=task.id, step=task.step, workstream=task.workstream, round=task.round)
        return {"run_id": self.run.run_id, "task": named, "attempt": self.attempt, "reserved_usd": left}

    def of(self, workstream: str) -> WorkstreamState:
        """What a workstream has come to."""
        return self.state.of(workstream)

    def checkpoint(self, name: str, commit: str, *, workstream: str = "") -> str:
        """Make the git commit `checkpoint(<name>): <run_id>` on top of `commit`, under a ref of the run."""
        run = self.run
        message = f"checkpoint({name}): {run.run_id}\n"
        made = run.repo.commit(run.repo.tree_of(commit), [commit], message, run.commit_time)
        run.repo.put_ref(run.refs.checkpoint(name, workstream), made)
        return made
