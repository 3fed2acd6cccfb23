"""What performs work needs its data and a place, nothing else; and what it has told stands although it fails."""

import subprocess
from pathlib import Path

import pytest

from branchline.attempt.gate_run import commit_work, run_gates
from branchline.attempt.performing import FILE, have_done, perform
from branchline.attempt.run import Attempt, Place, Run, StepContext
from branchline.core.facts import AgentCalled
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.plan import Action, Scope, Used, Workstream, WriteFile
from branchline.core.model.verdict import Gate, Outcome
from branchline.core.work import StepFailed, Work, WorkOutcome, decode
from branchline.core.workstream import known
from branchline.errors import GitError
from branchline.git.repo import Repo
from branchline.git.workspace import Workspaces
from branchline.ledger.paths import RunPaths
from branchline.ledger.work import WorkArea
from branchline.process.spawn import KillSwitch
from branchline.steps import s04_execute as execute
from unit.attempt.conftest import Make

SCRIPT = Action(write=WriteFile(path="new.txt", content="n\n")), Action(usage=Used(cost_usd=0.25))
WRITES = Workstream(id="a", prompt="p", scope=Scope(write=("**",)), script=SCRIPT)
GATE = Gate(id="is-there", verify=("grep", "-qx", "a", "a"))


@pytest.fixture
def ctx(make: Make) -> StepContext:
    made = make(
        {"a": "a\n"}, workstreams=(WRITES,), agents=(AgentSpec(id="w", use="scripted"),), agent="w", gates=(GATE,)
    )
    made.run.paths.scratch.mkdir(parents=True)
    return made


def elsewhere(run: Run, folder: Path) -> Place:
    """Where the same run could be at work on another machine: a clone, and folders of its own."""
    subprocess.run(["git", "clone", "-q", run.repo.root, folder / "clone"], check=True)
    repo, work = Repo.open(folder / "clone"), WorkArea(folder / "state", folder / "state" / "r")
    paths = RunPaths(repo.root, run.run_id)
    paths.scratch.mkdir(parents=True)
    return Place(
        paths=paths,
        repo=repo,
        work=work,
        workspaces=Workspaces(repo, work.home, base=run.base, target="main"),
        settings=run.settings,
        gates=run.gates,
        agents=run.agents,
        base=run.base,
        started_at=run.started_at,
        environ=run.environ,
    )


def written(ctx: StepContext, work: Work) -> bytes:
    return (ctx.folder / work.part / FILE).read_bytes()


def test_an_agent_works_elsewhere_from_the_bytes_alone(ctx: StepContext, tmp_path: Path) -> None:
    work = execute.prepare(ctx)
    here = have_done(ctx, execute.perform, work)
    place = elsewhere(ctx.run, tmp_path / "other")
    there = perform(execute.perform, decode(written(ctx, work), Work), place, KillSwitch(), lambda _text: None)
    assert (there.tree, there.commit, known(there.result).status) == (here.tree, here.commit, "ok")
    assert place.repo.read_blob(next(e.oid for e in place.repo.entries(there.tree) if e.path == "new.txt")) == b"n\n"


def test_gates_look_elsewhere_from_the_bytes_alone(ctx: StepContext, tmp_path: Path) -> None:
    work = commit_work(ctx, ctx.run.base, base=ctx.run.base, phase="validation", folder="v", part="p")
    here = known(have_done(ctx, run_gates, work).report)
    place = elsewhere(ctx.run, tmp_path / "other")
    outcome = perform(run_gates, decode(written(ctx, work), Work), place, KillSwitch(), lambda _text: None)
    there = known(outcome.report)
    assert (there.tree, there.outcome, here.outcome) == (here.tree, Outcome.PASSED, Outcome.PASSED)
    assert (place.paths.artifacts / "v" / "report.md").exists()


def test_no_path_of_this_machine_is_written_down(ctx: StepContext, tmp_path: Path) -> None:
    work = execute.prepare(ctx)
    have_done(ctx, execute.perform, work)
    assert str(tmp_path).encode() not in written(ctx, work)


def test_what_performs_work_does_not_get_the_run(ctx: StepContext) -> None:
    def look(_work: Work, at: Attempt) -> WorkOutcome:
        assert type(at) is Attempt
        assert type(at.run) is Place
        return WorkOutcome()

    have_done(ctx, look, execute.prepare(ctx))


@pytest.mark.parametrize("error", [GitError("no room", hint="df"), OSError(28, "No space left on device")])
def test_who_was_called_is_told_and_paid_for_although_the_work_fails(ctx: StepContext, error: Exception) -> None:
    def fail(work: Work, at: Attempt) -> WorkOutcome:
        execute.perform(work, at)
        raise error

    with pytest.raises(StepFailed, match=r"(?i)no (room|space)"):
        have_done(ctx, fail, execute.prepare(ctx))
    assert [fact.agent for fact in ctx.told if isinstance(fact, AgentCalled)] == ["w"]
    assert ctx.purse.spent == 0.25


def test_a_secret_is_not_in_what_is_handed_on(ctx: StepContext) -> None:
    key = "AKIA" + "Q3EGRTNWV7XJ2BZL"

    def look(work: Work, _at: Attempt) -> WorkOutcome:
        assert key not in str(work)
        return WorkOutcome()

    work = commit_work(ctx, ctx.run.base, base=ctx.run.base, phase="validation", folder=key)
    have_done(ctx, look, work)
    assert key.encode() not in written(ctx, work)


def test_work_that_is_done_again_is_written_down_again(ctx: StepContext) -> None:
    def nothing(_work: Work, _at: Attempt) -> WorkOutcome:
        return WorkOutcome()

    one, other = (commit_work(ctx, ctx.run.base, base=ctx.run.base, phase="batch", folder=name) for name in "vw")
    have_done(ctx, nothing, one)
    have_done(ctx, nothing, other)
    assert decode(written(ctx, other), Work) == other
