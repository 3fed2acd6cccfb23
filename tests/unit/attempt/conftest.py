"""A run of a real repository as steps see it, with nothing started."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from branchline.agents.registry import Agents
from branchline.attempt.run import Run, StepContext
from branchline.config.settings import Settings
from branchline.core.facts import Codegate, MergeConflict, WorktreesReady
from branchline.core.graph import Task
from branchline.core.model.plan import Plan, Scope, Workstream
from branchline.core.workstream import PipelineState, WorkstreamState
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import WorkArea
from branchline.process.spawn import KillSwitch
from support import Project

Make = Callable[..., StepContext]
Later = Callable[..., StepContext]
WORKSTREAM = Workstream(id="a", title="Do a", prompt="Change src/x.py.", scope=Scope(write=("src/**",)))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The first round of workstream `a` in a repository with these files; `prepare` may go on and returns the base."""

    def made(
        files: Mapping[str, str],
        *,
        workstreams: tuple[Workstream, ...] = (WORKSTREAM,),
        goal: str = "",
        prepare: Callable[[Project], str] = lambda project: project.git("rev-parse", "HEAD"),
        **settings: Any,
    ) -> StepContext:
        project = Project.make(tmp_path / "p", files)
        paths, repo, known = RunPaths(project.root, "R1"), Repo.open(project.root), Settings(version=1, **settings)
        base, work = prepare(project), WorkArea(tmp_path / "state", tmp_path / "state" / "r")
        run = Run(
            paths=paths,
            repo=repo,
            work=work,
            workspaces=Workspaces(repo, work.home, base=base, target="main"),
            settings=known,
            gates=known.gates,
            accepted=Plan(version=1, goal=goal, workstreams=workstreams),
            agents=Agents(known.agents),
            base=base,
            target="main",
            started_at=0,
            pins={},
            environ=dict(os.environ),
        )
        return context(run)

    return made


@pytest.fixture
def later() -> Later:
    """A later round of a context: after these batches, with this conflict to repair."""
    return lambda ctx, *batches, conflict=None, number=2: context(ctx.run, number, batches, conflict)


def ready(base: str, workstream: str = "a") -> WorktreesReady:
    """The worktree of a workstream stands."""
    return WorktreesReady(task_id=f"worktree_{workstream}", workstream=workstream, path="", branch="", base=base)


def rejected_batch(tree: str = "", workstream: str = "a", **fields: Any) -> Codegate:
    """A batch that was rejected."""
    return Codegate(
        task_id=f"gate_{workstream}",
        workstream=workstream,
        verdict="rejected",
        batch="",
        tree=tree,
        report="",
        **fields,
    )


def context(
    run: Run, number: int = 1, batches: Sequence[Codegate] = (), conflict: MergeConflict | None = None
) -> StepContext:
    known = {"a": WorkstreamState(worktree=ready(run.base))}
    for batch in batches:
        known[batch.workstream] = replace(known.get(batch.workstream, WorkstreamState()), batch=batch)
    state = PipelineState(workstreams=known, conflict=conflict)
    task = Task(id="execute_a", step="execute", workstream="a", round=number)
    return StepContext(run=run, task=task, attempt=1, state=state, kill=KillSwitch(), say=lambda _text: None)
