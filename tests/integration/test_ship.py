"""Shipping: what was tested lands by compare-and-swap, or nothing does; what needs a person's word waits for it."""

import json
from pathlib import Path

from support import Json, Project, Ran, fate, gate, gate_outside, sh, workstream, write

MERGE = {"ship": {"mode": "merge"}}


def started(project: Project, run_id: str, since: int = 0) -> list[str]:
    """The tasks that began after a record, without their numbers: `execute_a`."""
    records = project.records(run_id)[since:]
    return [r["task_id"].split("_", 2)[2] for r in records if r.get("new_state") == "RUNNING"]


def task(project: Project, ran: Ran, name: str) -> str:
    """The id of a task: `ship` is `task_017_ship`."""
    ids = {str(r["task_id"]) for r in project.records(ran.json["run_id"]) if r["event"] == "state_transition"}
    return next(one for one in ids if one.split("_", 2)[2] == name)


def other_branch(project: Project, *names: str) -> list[str]:
    """Commits, one on top of the other, each with a file of that name; the branch `work` stays below them all."""
    project.git("branch", "work")
    project.git("checkout", "--quiet", "--detach")
    made = [project.commit(f"add {name}", {name: "x\n"}) for name in names]
    project.git("checkout", "--quiet", "main")
    return made


def one(*script: Json) -> Json:
    return {"workstreams": [workstream("a", write("a.txt", "a\n"), *script)]}


def test_a_tag_that_stands_elsewhere_fails_before_the_target_moves(tmp_path: Path) -> None:
    """And once it is out of the way, `resume` redoes the shipping alone. One that is there already stops the start."""
    project = Project.make(tmp_path / "p")
    before = project.git("rev-parse", "main")
    ship = {"ship": {"mode": "merge", "tag": "v1"}}
    tag = gate_outside(tmp_path, "tag", f"git -C {project.root} tag v1 || true", phases=["integration"])
    ran = project.run(one(), {**ship, "gates": [tag]})
    assert (ran.code, ran.json["status"], ran.json["shipped"]) == (1, "failed", None)
    assert "the tag v1 exists already" in fate(ran, "a")["reason"]
    assert project.git("rev-parse", "main") == before
    assert project.git("rev-parse", ran.json["integration"]["branch"]) == ran.json["integration"]["commit"]
    stopped = project.run(one(), ship)
    assert (stopped.code, "the tag v1 exists already" in stopped.err) == (1, True), stopped.err
    assert "execute_a" not in started(project, stopped.json["run_id"])
    project.git("tag", "--delete", "v1")
    run = ran.json["run_id"]
    since = len(project.records(run))
    again = project.branchline("resume", run, "--json")
    assert again.code == 0, again.err
    assert started(project, run, since) == ["ship_r2", "archive_r2"]
    tested = ran.json["integration"]["commit"]
    assert again.json["shipped"] == {"target": "main", "commit": tested, "tag": "v1"}
    assert project.git("rev-parse", "main") == project.git("rev-parse", "v1") == tested


def test_red_ci_never_ships(tmp_path: Path) -> None:
    """And once its cause is gone, `retry` of that task alone ships."""
    project, cause = Project.make(tmp_path / "p"), tmp_path / "cause"
    cause.touch()
    before = project.git("rev-parse", "main")
    red = gate("ci", f"! test -e {cause}", phases=["integration"])
    ran = project.run(one(), {**MERGE, "gates": [red]})
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert "CI: ci: exit code 1" in ran.err
    assert project.git("rev-parse", "main") == before
    assert "ship" not in started(project, ran.json["run_id"])
    (status,) = [r["context"] for r in project.records() if r["event"] == "ci_status"]
    assert status["verdict"] == "failed"
    cause.unlink()
    since = len(project.records())
    again = project.branchline("retry", ran.json["run_id"], task(project, ran, "pr_ci"), "--json")
    assert again.code == 0, again.err
    assert started(project, ran.json["run_id"], since) == ["pr_ci_r2", "ship_r2", "archive_r2"]
    assert project.git("rev-parse", "main") == ran.json["integration"]["commit"]


def test_a_target_that_is_deleted_or_moved_away_meanwhile(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    other_branch(project)
    assert project.run(one(), {**MERGE, "approvals": {"ship": True}}, "--base", "work").code == 4
    project.git("branch", "-D", "work")
    ran = project.branchline("approve", "--json")
    assert (ran.code, ran.json["shipped"]) == (1, None)
    assert "the target branch work is gone" in fate(ran, "a")["reason"]
    assert project.git("for-each-ref", "refs/heads/work") == ""
    project.git("branch", "work", "main")
    assert project.branchline("retry", ran.json["run_id"], task(project, ran, "ship")).code == 4
    again = project.branchline("approve", "--json")
    assert again.code == 0, again.err
    assert project.git("rev-parse", "work") == ran.json["integration"]["commit"]


def test_a_target_that_moves_is_integrated_anew_and_swapped(tmp_path: Path) -> None:
    """It moves while the agents work, and again between the check of the new merge and the swap."""
    project, log = Project.make(tmp_path / "p"), tmp_path / "checked.log"
    first, second = other_branch(project, "first.txt", "second.txt")
    move = f"git -C {project.root} update-ref refs/heads/work"
    apart = "! (test -f first.txt && test -f broken.txt)"
    again = f"! test -f first.txt || test -e {tmp_path}/moved || {{ touch {tmp_path}/moved; {move} {second}; }}"
    check = f"ls | tr '\\n' ' ' >> {log}; echo >> {log}; {again}"
    look = gate_outside(tmp_path, "look", check, phases=["integration"])
    gates = [gate("apart", apart, phases=["batch", "validation"]), look]
    plan = {
        "workstreams": [
            workstream("a", write("a.txt", "a\n"), sh(f"{move} {first}")),
            workstream("broken", write("broken.txt", "b\n")),
            workstream("clash", write("second.txt", "of clash\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "gates": gates}, "--base", "work")
    assert ran.code == 5, ran.err
    assert fate(ran, "a")["state"] == "COMPLETED"
    assert fate(ran, "broken")["reason"] == "together with what is merged before it, it fails apart"
    assert fate(ran, "clash")["reason"] == "it conflicts with what was merged before it in second.txt"
    assert set(project.files("work")) == {"README.md", "a.txt", "first.txt", "old.txt", "second.txt", "src/x.py"}
    assert project.show("work", "second.txt") == "x\n"
    tip = project.git("rev-parse", "work")
    assert ran.json["shipped"]["commit"] == ran.json["integration"]["commit"] == tip
    assert project.git("rev-parse", ran.json["integration"]["branch"]) == tip
    project.git("merge-base", "--is-ancestor", second, "work")
    assert log.read_text().splitlines()[-1].split() == [
        "README.md",
        "a.txt",
        "first.txt",
        "old.txt",
        "second.txt",
        "src",
    ]


def test_protected_paths_and_many_deletions_can_be_rejected(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("allowed", write(".github/workflows/allowed.yml", "on: push\n")),
            workstream("ci", write(".github/workflows/ci.yml", "on: push\n"), write("ci.txt", "c\n")),
            workstream("purge", sh("rm old.txt src/x.py")),
            workstream("one_gone", sh("rm old.txt")),
        ]
    }
    settings = {
        "allow_protected": [".github/workflows/allowed.yml"],
        "approvals": {"protected": "reject"},
        "merge": {"max_deleted_files": 1},
    }
    ran = project.run(plan, {**MERGE, **settings, "repair": {"rounds": 0}})
    assert ran.code == 5, ran.err
    assert set(project.files("main")) == {".github/workflows/allowed.yml", "README.md", "src/x.py"}
    said = {
        name: json.loads((Path(ran.json["run_dir"]) / f"gate/rejected/{name}-1/report.json").read_text())["results"][0]
        for name in ("ci", "purge")
    }
    assert ".github/workflows/ci.yml" in said["ci"]["output"]
    assert "allow_protected" in said["ci"]["output"]
    assert "ci.txt" not in said["ci"]["output"]
    assert "2 files deleted, more than merge.max_deleted_files (1)" in said["purge"]["output"]


def test_what_landed_as_the_coordinator_died_has_landed_though_the_run_is_cancelled(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    assert project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, {"ship": {"mode": "merge"}}).code == 0
    run_id = project.records()[0]["run_id"]
    ledger = project.root / ".runs" / run_id / "logs" / "run.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    began = next(n for n, line in enumerate(lines) if "_ship" in line and '"new_state":"RUNNING"' in line)
    ledger.write_text("".join(lines[: began + 1]))
    project.mark_last(run_id)
    skipped = project.branchline("resume", "--skip", "task_012_ship")
    assert skipped.code == 2
    assert "task task_012_ship had begun, and may be done" in skipped.err
    assert project.branchline("cancel").code == 0
    end = project.records()[-1]
    assert (end["event"], end["context"]["status"]) == ("run_end", "succeeded")
    assert [r["context"]["commit"] for r in project.records() if r["event"] == "ship_complete"] == [
        project.git("rev-parse", "main")
    ]
