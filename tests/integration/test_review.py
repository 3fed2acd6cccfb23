"""The review gate in whole runs: the scripted agent reviews what the scripted agent made."""

import json
from pathlib import Path
from typing import Any

from support import Json, Project, Ran, fate, gate, sh, workstream, write

PLAN = {"workstreams": [workstream("a", write("a.txt", "one\n"), repair_scripts=[[write("a.txt", "two\n")]])]}


def finding(severity: str, problem: str, **more: Any) -> Json:
    return {"severity": severity, "file": "a.txt", "line": 1, "problem": problem, "suggestion": None, **more}


def answer(*findings: Json) -> list[Json]:
    return [{"answer": {"summary": "It writes a word.", "findings": list(findings)}}]


def settings(*scripts: list[Any], **more: Any) -> Json:
    """A reviewer that does one script after the other, round by round."""
    review = {"agent": "critic", **more}
    return {"agents": [{"id": "critic", "use": "scripted", "scripts": list(scripts)}], "review": review}


def reports(ran: Ran, batch: str, verdict: str) -> tuple[Json, str]:
    folder = Path(ran.json["run_dir"]) / "gate" / verdict / batch
    results = json.loads((folder / "report.json").read_text())["results"]
    return next(one for one in results if one["gate"] == "review"), (folder / "report.md").read_text()


def calls(project: Project) -> list[tuple[str, str, str]]:
    found = [record["context"] for record in project.records() if record["event"] == "agent_called"]
    return [(one["role"], one["agent"], one["status"]) for one in found]


def test_a_blocking_finding_rejects_and_the_next_round_is_told(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    blocking = finding("blocking", "One is wrong, ``` it must be two.", suggestion="Write two.")
    ran = project.run(PLAN, settings(answer(finding("advice", "No full stop."), blocking), answer()))
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "a.txt") == "two\n"
    result, report = reports(ran, "a-1", "rejected")
    assert result["outcome"] == "failed"
    assert result["reason"] == "critic: 1 blocking finding, 1 of advice"
    assert "- blocking: a.txt:1: One is wrong, ``` it must be two.\n  Suggestion: Write two.\n- advice:" in report
    told = next(Path(ran.json["run_dir"]).glob("attempts/*_execute_a_r2.1/prompt.md")).read_text()
    assert "## review: critic: 1 blocking finding, 1 of advice\n" in told
    assert "One is wrong, ``` it must be two." in told
    assert reports(ran, "a-2", "approved")[0]["reason"] == "critic: nothing found"
    editor, reviewer = ("editor", "scripted", "ok"), ("reviewer", "critic", "ok")
    assert calls(project) == [editor, reviewer, editor, reviewer]


def test_advice_is_kept_and_rejects_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(PLAN, settings(answer(finding("advice", "No full stop.", line=None))))
    assert ran.code == 0, ran.err
    result, report = reports(ran, "a-1", "approved")
    assert (result["outcome"], result["reason"]) == ("passed", "critic: 1 piece of advice")
    assert "- advice: a.txt: No full stop." in result["output"]
    assert "- advice: a.txt: No full stop." in report


def test_the_reviewer_sees_the_fixed_batch_and_cannot_change_it(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    fix = gate("tidy", "grep -q tidy a.txt", fix=["sh", "-c", "echo tidy > a.txt"], kind="format")
    script = [sh("grep -q tidy a.txt && echo evil > a.txt && echo evil > new.txt"), *answer()]
    ran = project.run(PLAN, {**settings(script), "gates": [fix]})
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "a.txt") == "tidy\n"
    assert "new.txt" not in project.files(ran.json["integration"]["branch"])
    told = next(Path(ran.json["run_dir"]).glob("attempts/*_gate_a.1/review/prompt.md")).read_text()
    assert "+tidy\n" in told


def test_what_the_gates_reject_is_not_reviewed(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(PLAN, {**settings(answer()), "gates": [gate("no", "exit 1")], "repair": {"rounds": 0}})
    assert ran.code == 1
    assert calls(project) == [("editor", "scripted", "ok")]


def test_without_an_answer_the_review_is_skipped_loudly(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(PLAN, settings([{"fail": "no such model"}]))
    assert ran.code == 0, ran.err
    result, report = reports(ran, "a-1", "approved")
    assert (result["outcome"], result["reason"]) == ("skipped", "reviewer critic: no such model")
    assert "| review | skipped | reviewer critic: no such model |" in report


def test_a_required_review_that_breaks_its_schema_lets_nothing_through(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    wrong = [{"answer": {"summary": "Fine.", "findings": [{"severity": "fatal"}]}}]
    ran = project.run(PLAN, settings(wrong, required=True))
    assert ran.code == 1
    reason = fate(ran, "a")["reason"]
    assert reason.startswith("batch a-1 could not be checked: review: reviewer critic: at findings[0]"), reason
    assert reports(ran, "a-1", "error")[0]["outcome"] == "error"


def test_a_round_that_repeats_what_was_rejected_ends_its_workstream(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    turns = [[write("a.txt", "two\n")], [write("a.txt", "one\n")], [write("a.txt", "good\n")]]
    plan = {"workstreams": [workstream("a", write("a.txt", "one\n"), repair_scripts=turns)]}
    ran = project.run(plan, {"gates": [gate("good", "grep -q good a.txt")], "repair": {"rounds": 9}})
    assert ran.code == 1
    assert fate(ran, "a")["reason"] == "no progress: round 3 ended with the files that batch a-1 had"
    failed = [
        r["context"] for r in project.records() if r["event"] == "state_transition" and r["new_state"] == "FAILED"
    ]
    assert [one["error_class"] for one in failed] == ["rejected", "rejected", "no_progress"]
    again = project.branchline("retry", ran.json["run_id"], "task_005_execute_a", "--json")
    reason = fate(again, "a")["reason"]
    assert reason.startswith("agent scripted: the agent changed nothing; no progress"), (
        "it goes on from what was rejected"
    )
