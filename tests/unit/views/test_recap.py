import json
from collections.abc import Callable

import msgspec

from branchline.core.facts import AgentCalled, CiStatus, Codegate, Fact, IntegrationComplete, ShipComplete
from branchline.core.graph import Task
from branchline.core.model.verdict import GateOutcome, Outcome
from branchline.core.run_state import replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.recap import Integration, Recap, Shipped, lines, recap, skipped_gates

Drive = Callable[..., list[Record]]


def recap_of(records: list[Record]) -> Recap:
    return recap("RUN", records, replay(record.event for record in records), "/repo/.runs/RUN")


def text_of(records: list[Record]) -> str:
    state = replay(record.event for record in records)
    return "\n".join(lines(recap("RUN", records, state, "/repo/.runs/RUN"), records, state))


def test_json_has_exactly_the_agreed_members(pipeline_run: list[Record]) -> None:
    found = json.loads(msgspec.json.encode(recap_of(pipeline_run)))
    branch = found["integration"]["branch"]
    tag = found["shipped"]["tag"]
    assert found == {
        "run_id": "RUN",
        "status": "partial",
        "exit_code": 5,
        "run_dir": "/repo/.runs/RUN",
        "integration": {"branch": branch, "commit": "c" * 40},
        "shipped": {"target": "main", "commit": "c" * 40, "tag": tag},
        "workstreams": [
            {"id": "a", "state": "COMPLETED", "reason": ""},
            {"id": "b", "state": "FAILED", "reason": "conflict with a in greetings.txt"},
            {"id": "docs", "state": "COMPLETED", "reason": ""},
        ],
    }
    assert branch.startswith("integration/")
    assert tag.startswith("release/")


def test_text_says_what_landed_what_did_not_and_what_nobody_checked(pipeline_run: list[Record]) -> None:
    text = text_of(pipeline_run)
    assert text.startswith("Run RUN: partial, 1m 25s, exit code 5\n\nLanded on main as cccccccccccc, tag release/")
    assert "\n  a     Say hello\n  docs  Describe the greetings\n" in text
    assert "\nNot landed\n  b  failed: conflict with a in greetings.txt\n" in text
    assert "\nNOT CHECKED: 1 gate skipped\n  mypy  a  mypy is not installed\n" in text
    assert "\n  saved work   branchline restore RUN\n" in text
    assert text.endswith("\nNext\n  branchline diff RUN b\n  git merge feature/b-RUN")


def test_branch_mode_ships_nothing_and_names_the_merge(drive_pipeline: Drive) -> None:
    kept = ShipComplete(task_id="task_022_ship", target="", commit="c" * 40, merged=("a", "b", "docs"))
    records = drive_pipeline(
        {
            "task_020_merge": [{"facts": (_merged("integration/X", "c" * 40),)}],
            "task_022_ship": [{"facts": (kept,)}],
        }
    )
    found = recap_of(records)
    assert (found.status, found.shipped) == ("succeeded", None)
    text = text_of(records)
    assert "Landed on integration/X as cccccccccccc\n" in text
    assert text.endswith("Next\n  branchline diff RUN\n  git merge integration/X")


def _merged(branch: str, commit: str) -> IntegrationComplete:
    return IntegrationComplete(task_id="task_020_merge", branch=branch, commit=commit, merged=("a",), dropped={})


def test_a_target_that_moved_leaves_the_commit_that_shipped(drive_pipeline: Drive) -> None:
    anew = ShipComplete(task_id="task_022_ship", target="main", commit="d" * 40, merged=("a", "b", "docs"))
    found = recap_of(drive_pipeline({"task_022_ship": [{"facts": (anew,)}]}))
    assert found.shipped == Shipped(target="main", commit="d" * 40, tag="")
    assert found.integration
    assert found.integration.commit == "d" * 40


def test_what_the_merge_and_its_shipping_warn_of_is_told_once(drive_pipeline: Drive) -> None:
    merged = msgspec.structs.replace(_merged("integration/X", "c" * 40), warnings=("x was merged by lines",))
    shipped = ShipComplete(
        task_id="task_022_ship", target="main", commit="d" * 40, warnings=("x was merged by lines", "no tag")
    )
    records = drive_pipeline({"task_020_merge": [{"facts": (merged,)}], "task_022_ship": [{"facts": (shipped,)}]})
    assert recap_of(records).warnings == ("x was merged by lines", "no tag")
    assert "\nWarnings\n  x was merged by lines\n  no tag\n" in text_of(records)


def test_a_ship_that_failed_gives_the_way_out(drive_pipeline: Drive) -> None:
    end = {"state": State.FAILED, "reason": "the checkout is dirty", "error_class": "rejected"}
    records = drive_pipeline({"task_022_ship": [{**end, "hint": "git merge --ff-only abc"}]})
    found = recap_of(records)
    assert (found.status, found.shipped, found.exit_code) == ("failed", None, 1)
    assert isinstance(found.integration, Integration)
    assert found.workstreams[0].reason == "merged, not shipped: the checkout is dirty"
    assert "Next\n  git merge --ff-only abc\n  branchline show RUN task_022_ship\n" in text_of(records)


def test_stopped_at_once(drive_pipeline: Drive) -> None:
    end = {"state": State.FAILED, "reason": "git is missing", "error_class": "rejected"}
    records = drive_pipeline({"task_001_preflight": [end]})
    found, text = recap_of(records), text_of(records)
    assert (found.status, found.integration, found.shipped) == ("failed", None, None)
    assert "Landed" not in text
    assert "\nWhy\n  git is missing\n" in text
    assert "integration" not in text


def test_json_tells_of_collisions_in_a_plan_that_waits(waiting_run: list[Record]) -> None:
    found = json.loads(msgspec.json.encode(recap_of(waiting_run)))
    assert found["collisions"][0] == {"a": "a", "b": "b", "risk": 0.5, "paths": ["src/x.py", "src/y.py"]}


def test_a_proposed_plan_is_shown_with_what_to_type(waiting_run: list[Record]) -> None:
    found, text = recap_of(waiting_run), text_of(waiting_run)
    assert (found.status, found.exit_code) == ("waiting", 4)
    assert "\nThe plan waits to be accepted\n  a     Say hello\n  b     Say bonjour\n" in text
    assert "\nWarnings\n  docs/** matches nothing\n" in text
    assert "\nLikely to change the same files\n  a, b  50%  src/x.py, src/y.py\n\n" in text
    assert "\nAgents\n  (the plan)  claude_code  2.0k tokens  $0.06\n" in text
    assert text.endswith("\nNext\n  branchline approve RUN\n  branchline cancel RUN")


def test_agents_are_named_by_workstream(pipeline_run: list[Record]) -> None:
    assert text_of(pipeline_run).partition("\nAgents\n")[2].partition("\n\n")[0].splitlines() == [
        "  a     scripted  1.5k tokens  $0.02, 1 unknown",
        "  b     scripted               unknown",
        "  docs                         unknown",
        "  all             1.5k tokens  $0.02, 4 unknown",
    ]


def test_a_run_cut_off_is_interrupted(pipeline_run: list[Record]) -> None:
    found = recap_of(pipeline_run[:20])
    assert (found.status, found.exit_code) == ("interrupted", 130)
    assert text_of(pipeline_run[:20]).endswith("Next\n  branchline resume RUN")


def test_a_plain_graph_may_use_any_outputs(drive_graph: Drive) -> None:
    tasks = (Task(id="x"), Task(id="y"), Task(id="z", dependencies=("y",)))
    told = {
        "x": [{"outputs": {"gates": 1, "skipped": True}}],
        "y": [{"state": State.FAILED, "reason": "boom", "outputs": {"hint": 3}}],
    }
    text = text_of(drive_graph(tasks, told))
    assert "\n1 of 3 tasks completed\n" in text
    assert "\nNot completed\n  y  failed     boom\n  z  cancelled  upstream y failed\n" in text
    assert "restore" not in text
    good = text_of(drive_graph(tasks, {}))
    assert "Not completed" not in good
    assert good.endswith("Next\n  branchline log RUN")


def test_skipped_gates_are_told_once_for_all_places(drive_pipeline: Drive) -> None:
    mypy = GateOutcome(gate="mypy", outcome=Outcome.SKIPPED, reason="not installed")
    gates = (mypy, GateOutcome(gate="tests", outcome=Outcome.PASSED))
    facts: dict[str, Fact] = {
        name: Codegate(
            task_id=name, workstream=name[-1], verdict="approved", batch="x", tree="t", report="r", gates=gates
        )
        for name in ("task_010_gate_a", "task_011_gate_b")
    }
    facts["task_021_pr_ci"] = CiStatus(task_id="task_021_pr_ci", commit="c", verdict="passed", report="r", gates=gates)
    records = drive_pipeline({name: [{"facts": (fact,)}] for name, fact in facts.items()})
    state = replay(record.event for record in records)
    assert skipped_gates(state) == [("mypy", "a, b, pr_ci", "not installed")]


def test_processes_that_nothing_held_are_told_aloud(drive_pipeline: Drive) -> None:
    def called(containment: str) -> AgentCalled:
        return AgentCalled(
            task_id="task_007_execute_a", attempt=1, role="editor", agent="x", model="m", status="ok", milliseconds=1,
            folder="f", containment=containment,
        )  # fmt: skip

    def told(containment: str) -> str:
        return text_of(drive_pipeline({"task_007_execute_a": [{"facts": (called(containment),)}]}))

    assert "\nWEAKLY HELD\n  What agents and gates start is held by nothing but its process group" in told("group")
    assert "WEAKLY HELD" not in told("namespace")
