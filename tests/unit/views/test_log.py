from dataclasses import dataclass

import pytest

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.graph import Task
from branchline.core.model.agent import Usage
from branchline.core.model.forecast import Collision
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.log import line

AT = 1_795_000_000_123
PENDING, RUNNING, FAILED = State.PENDING, State.RUNNING, State.FAILED


@dataclass(frozen=True)
class Told:
    event: e.AnyEvent
    seq: int = 0
    at: int = AT


def move(old: State, new: State, reason: str = "", retry_at: int | None = None) -> e.Transition:
    return e.Transition(task_id="t", old_state=old, new_state=new, attempt=1, reason=reason, retry_at=retry_at)


CI = f.Concern(kind="protected", path="ci.yml", reason="is protected (added)")

CASES: list[tuple[e.AnyEvent, str]] = [
    (move(PENDING, RUNNING), "t PENDING -> RUNNING (attempt 1)"),
    (move(RUNNING, State.COMPLETED), "t RUNNING -> COMPLETED"),
    (move(RUNNING, FAILED, "exit code 3"), "t RUNNING -> FAILED: exit code 3"),
    (
        move(FAILED, PENDING, "attempt 1 of 3: x", AT + 60_000),
        "t FAILED -> PENDING, retry in 1m 00s: attempt 1 of 3: x",
    ),
    (
        e.RunStarted(kind="graph", started_at=AT, tasks=(Task(id="t"),), policy=e.RunPolicy()),
        "run started: graph of 1 task, at most 4 at once",
    ),
    (e.RunResumed(by="process 7"), "run taken over by process 7"),
    (e.RunEnded(status="failed", exit_code=1, reason="x"), "run ended: failed (exit code 1): x"),
    (e.GaveUp(task_id="t", reason="x"), "t gets no further attempt: x"),
    (
        e.TasksAdded(reason="repair of a", tasks=(Task(id="t_r2"),), replaces={"t_r2": "t"}),
        "new round (repair of a): t_r2",
    ),
    (e.TasksAdded(reason="the plan", tasks=(Task(id="x"),), replaces={}), "new tasks (the plan): x"),
    (e.AttemptInterrupted(task_id="t", attempt=1), "t attempt 1 was interrupted"),
    (e.AttemptResumed(task_id="t", attempt=1), "t attempt 1 is taken up again"),
    (e.IntentReceived(kind="cancel", by="me"), "me asked to cancel the run"),
    (
        e.IntentReceived(kind="retry", by="me", task_id="t", refused="it runs"),
        "me asked to retry t; refused: it runs",
    ),
    (
        f.PlanProposed(
            task_id="t",
            plan={"workstreams": [{"id": "a"}, {"id": "b"}]},
            digest="d",
            warnings=("x\ny", "z"),
            collisions=(Collision("a", "b", 0.625, ("x",)),),
        ),
        "t plan proposed: a, b; a and b may collide (62%); warning: x y; warning: z",
    ),
    (f.PlanComplete(task_id="t", workstreams=("a", "b"), digest="d"), "t plan accepted: a, b"),
    (f.PlanComplete(task_id="t", workstreams=("a",), digest="d", by="policy"), "t plan accepted by policy: a"),
    (
        f.AgentCalled(
            task_id="t",
            attempt=1,
            role="editor",
            agent="codex",
            model="m-1",
            status="ok",
            milliseconds=12_300,
            folder="f",
            usage=Usage(
                input_tokens=12_345, cached_tokens=10_000, output_tokens=67, cost_usd=0.0042, cost_source="computed"
            ),
            message="said when it went well is nobody's business",
            manifest="d",
            context_files=31,
            context_tokens=41_200,
        ),
        "t codex (m-1) as editor: ok after 12.3s, given 31 files of 41,200 tokens, 12,345 tokens in (10,000 cached), 67 out, $0.0042 (computed)",
    ),
    (
        f.AgentCalled(
            task_id="t",
            attempt=1,
            role="planner",
            agent="x",
            model="",
            status="model_error",
            error_class="auth",
            message="wrong\nkey",
            milliseconds=5,
            folder="f",
        ),
        "t x as planner: model_error, auth after 5ms, cost unknown: wrong key",
    ),
    (
        f.WorktreesReady(task_id="t", workstream="a", path="w\n/a", branch="feature/a", base="b"),
        "t worktree of a ready at w /a, branch feature/a",
    ),
    (
        f.ExecuteWsComplete(task_id="t", workstream="a", agent="x", status="ok", tree="7", files=("f",)),
        "t x ended ok, 1 file changed",
    ),
    (
        f.ExecuteWsComplete(
            task_id="t",
            workstream="a",
            agent="x",
            status="ok",
            tree="7",
            files=("f",),
            context_files=1,
            context_tokens=1200,
        ),
        "t x ended ok, 1 file changed, given 1 file of 1,200 tokens",
    ),
    (
        f.ExecuteWsComplete(
            task_id="t", workstream="a", agent="x", status="ok", tree="7", files=(), usage=Usage(cost_usd=0.5)
        ),
        "t x ended ok, 0 files changed, $0.50",
    ),
    (
        f.Codegate(task_id="t", workstream="a", verdict="rejected", batch="a-1", tree="7", report="r", reason="tests"),
        "t batch of a rejected: a-1: tests",
    ),
    (
        f.ApprovalNeeded(task_id="t", step="consume", workstream="a", tree="7", base="6", concerns=(CI,), more=2),
        "t batch of a waits for approval: ci.yml is protected (added); and 2 more",
    ),
    (
        f.ApprovalNeeded(task_id="t", step="ship", tree="7", base="6", concerns=(CI,)),
        "t ship waits for approval: ci.yml is protected (added)",
    ),
    (
        e.ApprovalDecided(task_id="t", tree="7" * 40, verdict="rejected", by="alice", reason="not now"),
        "alice rejected t, tree 777777777777: not now",
    ),
    (
        e.RolledBack(target="main", commit="d" * 40, reverts="c" * 40, by="alice", reason="too slow"),
        "alice rolled cccccccccccc back: main is at dddddddddddd: too slow",
    ),
    (e.SavedReleased(refs=("refs/x",), by="alice"), "alice let saved work go: refs/x"),
    (
        e.Healed(done=("worktree a: it was moved: move it back", "refs/x: it is gone: put it back"), by="process 7"),
        "process 7 healed worktree a: it was moved: move it back; refs/x: it is gone: put it back",
    ),
    (
        f.WorktreeSaved(task_id="t", workstream="a", ref="r", commit="c", removed=True),
        "t worktree of a saved as r, and removed",
    ),
    (
        f.WorktreeSaved(task_id="t", workstream="a", ref="r", commit="c", left_out=("big: too large",), kept="locked"),
        "t worktree of a saved as r, but 1 file kept as it is: big: too large; it stays: locked",
    ),
    (
        f.WorktreeSaved(task_id="t", workstream="a", ref="", commit="", kept="the disk is full"),
        "t worktree of a could not be saved, and stays: the disk is full",
    ),
    (
        f.WsCheckpoint(task_id="t", workstream="a", commit="c" * 40, tree="7"),
        "t batch of a committed as cccccccccccc",
    ),
    (
        f.ValidateWsPass(task_id="t", workstream="a", commit="c" * 40, report="r"),
        "t a validated at cccccccccccc",
    ),
    (
        f.ValidateWsFail(task_id="t", workstream="a", commit="c" * 40, report="r", reason="x"),
        "t a did not validate at cccccccccccc: x",
    ),
    (f.MergeQueue(task_id="t", order=(), excluded={"b": "failed"}), "t will merge nothing; without b: failed"),
    (
        f.MergeQueue(task_id="t", order=("a", "b"), excluded={}, conflicts=(f.Clash(between=("a", "b")),)),
        "t will merge a, b; 1 conflict expected",
    ),
    (
        f.MergeConflict(task_id="t", workstream="b", tree="7", tip="c", commit="d", reason="it conflicts with a in x"),
        "t b goes back to its agent: it conflicts with a in x",
    ),
    (
        f.IntegrationComplete(task_id="t", branch="i", commit="c" * 40, merged=("a",), dropped={"b": "conflict"}),
        "t merged a into i as cccccccccccc; without b: conflict",
    ),
    (
        f.IntegrationComplete(
            task_id="t", branch="i", commit="c" * 40, merged=("a",), dropped={}, warnings=("x was merged by lines",)
        ),
        "t merged a into i as cccccccccccc; warning: x was merged by lines",
    ),
    (f.PrOpened(task_id="t", forge="local", location="f.md"), "t request opened with local: f.md"),
    (f.CiStatus(task_id="t", commit="c" * 40, verdict="passed", report="r"), "t CI says passed of cccccccccccc"),
    (
        f.ShipComplete(task_id="t", target="main", commit="c" * 40, tag="v1"),
        "t shipped cccccccccccc to main, tag v1",
    ),
    (
        f.ShipComplete(task_id="t", target="main", commit="c" * 40, warnings=("no tag", "no files")),
        "t shipped cccccccccccc to main; warning: no tag; warning: no files",
    ),
    (e.MarkMissed(reason="no room"), "git has no mark of the ledger as it is now: no room"),
    (f.Archived(task_id="t", report="r.md", archive="archive.json"), "t archived: archive.json"),
    (f.Preflight(task_id="t", warnings=("no gates",)), "t preflight passed; warning: no gates"),
    (f.RunPrepared(task_id="t", base="b", prompt="prompt.md"), "t request stored in prompt.md"),
    (f.ShipComplete(task_id="t", target="", commit="c" * 40), "t left cccccccccccc on its integration branch"),
]


@pytest.mark.parametrize(("event", "sentence"), CASES)
def test_sentences(event: e.AnyEvent, sentence: str) -> None:
    assert line(Told(event)) == f"11:06:40.123 {sentence}"


def test_every_event_has_a_sentence() -> None:
    assert {type(event).__struct_config__.tag for event, _ in CASES} == e.NAMES


def test_one_line_a_record(pipeline_run: list[Record]) -> None:
    text = [line(record) for record in pipeline_run]
    assert len(text) == len(pipeline_run)
    assert all(one.isprintable() for one in text)
