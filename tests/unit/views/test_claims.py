from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.events import AnyEvent, RunStarted, TasksAdded, Transition
from branchline.core.graph import Task
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.claims import Claims, claims

TASKS = (
    Task(id="w", step="worktrees", workstream="a"),
    Task(id="x", step="execute", workstream="a"),
    Task(id="g", step="code_gate", workstream="a"),
    Task(id="c", step="consume", workstream="a", checkpoint="codegate"),
    Task(id="v", step="validate", workstream="a", checkpoint="validate-pass"),
    Task(id="m", step="merge", checkpoint="integration-complete"),
    Task(id="s", step="ship", checkpoint="ship-complete"),
    Task(id="p", step="preflight", checkpoint="preflight"),
)
OWN, FEATURE, INTEGRATION = "refs/branchline/R/", "refs/heads/feature/a-R", "refs/heads/integration/R"


def told(*events: AnyEvent) -> Claims:
    first = RunStarted(kind="pipeline", started_at=0, tasks=TASKS, policy=e.RunPolicy(), pins={"base": "base"})
    every = (first, *events)
    return claims("R", [Record(seq=n, epoch=1, id="", at=0, run_id="R", event=one) for n, one in enumerate(every)])


def begun(task: str, attempt: int = 1) -> Transition:
    return Transition(task_id=task, old_state=State.PENDING, new_state=State.RUNNING, attempt=attempt)


def ended(task: str) -> Transition:
    return Transition(task_id=task, old_state=State.RUNNING, new_state=State.COMPLETED, attempt=1)


def consumed(commit: str) -> f.WsCheckpoint:
    return f.WsCheckpoint(task_id="c", workstream="a", commit=commit, tree=f"tree of {commit}")


def test_the_base_must_be_there_and_a_graph_names_nothing() -> None:
    assert told().objects == {"base": 0}
    graph = RunStarted(kind="graph", started_at=0, tasks=(Task(id="t", checkpoint="x"),), policy=e.RunPolicy())
    found = claims("R", [Record(seq=0, epoch=1, id="", at=0, run_id="R", event=one) for one in (graph,)])
    found.take(Record(seq=1, epoch=1, id="", at=0, run_id="R", event=ended("t")))
    assert (found.objects, found.refs, found.held) == ({}, {}, [])


def test_every_attempt_has_a_ref_with_its_tree() -> None:
    left = [
        f.ExecuteWsComplete(task_id="x", workstream="a", agent="s", status="ok", tree=tree, files=())
        for tree in ("t1", "t2")
    ]
    found = told(begun("x"), left[0], begun("x", 2), left[1])
    refs = {name: (claim.tree, claim.seq) for name, claim in found.refs.items()}
    assert refs == {f"{OWN}attempts/x/1": ("t1", 2), f"{OWN}attempts/x/2": ("t2", 4)}
    assert found.objects == {"base": 0, "t1": 2, "t2": 4}


def test_what_may_move_again_is_not_claimed_meanwhile() -> None:
    ready = f.WorktreesReady(task_id="w", workstream="a", path="/w", branch="b", base="b1")
    before = told(ready, consumed("c1"))
    assert before.refs[FEATURE].commit == "c1"
    assert before.refs[f"{OWN}base/a"].commit == "b1"
    again = Task(id="x_r2", origin="x", step="execute", workstream="a")
    round_two = TasksAdded(reason="", tasks=(again,), replaces={"x_r2": "x"})
    after = told(ready, consumed("c1"), round_two, begun("x_r2"))
    assert set(after.refs) == {f"{OWN}base/a", f"{OWN}checkpoint/codegate/a"}
    other = told(consumed("c1"), begun("m"))
    assert FEATURE in other.refs, "another step leaves it alone"


def test_a_batch_is_where_its_gate_put_it_whatever_a_person_said() -> None:
    gate = f.Codegate(task_id="g", workstream="a", verdict="approved", batch="a-1", tree="t1", report="r", given="t0")
    no = f.Codegate(task_id="c", workstream="a", verdict="rejected", batch="a-1", tree="t1", report="r")
    found = told(gate, no)
    assert (found.refs[f"{OWN}gate/a-1"].tree, found.refs[f"{OWN}gate/a-1"].seq) == ("t1", 1)
    assert f"{OWN}gate/a-1" not in told(gate, begun("g", 2)).refs


def test_checkpoints_stand_on_what_their_step_made() -> None:
    merged = f.IntegrationComplete(task_id="m", branch="integration/R", commit="m1", merged=("a",), dropped={})
    passed = f.ValidateWsPass(task_id="v", workstream="a", commit="c1", report="r")
    found = told(ended("p"), ended("c"), passed, ended("v"), merged, ended("m"))
    parents = {name.removeprefix(f"{OWN}checkpoint/"): claim.parent for name, claim in found.refs.items()}
    assert parents.pop(INTEGRATION) == ""
    assert parents == {"preflight": "base", "validate-pass/a": "c1", "integration-complete": "m1"}


def test_what_shipped_is_held_and_so_is_what_undid_it() -> None:
    merged = f.IntegrationComplete(task_id="m", branch="integration/R", commit="m1", merged=("a",), dropped={})
    shipped = f.ShipComplete(task_id="s", target="main", commit="m2", tag="v1")
    undone = e.RolledBack(target="main", commit="r1", reverts="m2", by="alice")
    found = told(merged, shipped, ended("s"), undone)
    assert found.held == [("main", "m2", 2), ("main", "r1", 4)]
    assert found.refs[INTEGRATION].commit == found.refs["refs/tags/v1"].commit == "m2"
    assert found.refs[f"{OWN}checkpoint/ship-complete"].parent == "m2"
    assert found.refs[f"{OWN}rollback"].commit == "r1"
    left = told(f.ShipComplete(task_id="s", target="", commit="m1"))
    assert (left.held, list(left.refs)) == ([], [INTEGRATION])


def test_saved_worktrees_have_their_refs() -> None:
    saved = f.WorktreeSaved(task_id="s", workstream="a", ref=f"{OWN}saved/a", commit="s1")
    lost = f.WorktreeSaved(task_id="s", workstream="b", ref="", commit="", kept="no space")
    assert {name: claim.commit for name, claim in told(saved, lost).refs.items()} == {f"{OWN}saved/a": "s1"}


def test_every_object_that_a_fact_names_is_asked_for() -> None:
    need = f.ApprovalNeeded(task_id="g", step="consume", workstream="a", tree="n", base="b", concerns=())
    failed = f.ValidateWsFail(task_id="v", workstream="a", commit="f", report="r", reason="no")
    ci = f.CiStatus(task_id="x", commit="i", verdict="passed", report="r")
    assert set(told(need, failed, ci, consumed("c")).objects) == {"base", "n", "f", "i", "c"}
