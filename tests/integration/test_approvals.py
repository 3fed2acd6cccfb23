"""What needs a person waits: nothing of it passes unapproved, the rest of the run goes on, a word holds for one tree."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import Json, Project, Ran, fate, gate, sh, workstream, write

MERGE: Json = {"ship": {"mode": "merge"}}
CI = ".github/workflows/ci.yml"


def plan(*more: Json) -> Json:
    return {"goal": "g", "workstreams": [workstream("ci", write(CI, "on: push\n")), *more]}


def good() -> Json:
    return workstream("good", write("good.txt", "g\n"))


def events(project: Project, kind: str) -> list[Json]:
    return [record for record in project.records() if record["event"] == kind]


def waits(ran: Ran) -> list[str]:
    return [one["workstream"] or "ship" for one in ran.json.get("waiting", ())]


def test_a_batch_waits_is_looked_at_approved_and_lands(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    ran = project.run(plan(good()), MERGE)
    run = ran.json["run_id"]
    assert (ran.code, ran.json["status"], waits(ran)) == (4, "waiting", ["ci"])
    assert fate(ran, "ci")["state"] == "PENDING"
    assert project.files("main") == ["README.md"]
    moved = {r["task_id"].split("_", 2)[2]: r["new_state"] for r in events(project, "state_transition")}
    assert moved["validate_good"] == "COMPLETED", "the rest went on"
    assert "consume_ci" not in moved, "it is PENDING"
    (one,) = ran.json["waiting"]
    assert one["concerns"] == [{"kind": "protected", "path": CI, "reason": "is protected (added)"}]

    assert f"branchline approve {run} {one['task_id']}" in project.branchline("status").out
    assert "waiting" in project.branchline("list").out
    assert "+on: push" in project.branchline("diff", run, "ci").out.splitlines()
    again = project.branchline("resume", run, "--json")
    assert (again.code, waits(again)) == (4, ["ci"]), "looking again changes nothing"

    done = project.branchline("approve", run, "ci", "--json", USER="alice")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert project.files("main") == [CI, "README.md", "good.txt"]
    (said,) = events(project, "approval")
    assert said["context"] == {"by": "alice", "tree": one["tree"], "verdict": "approved"}
    assert (said["task_id"], one["tree"]) == (one["task_id"], project.tree(f"refs/branchline/{run}/gate/ci-1"))
    assert project.branchline("verify", run).code == 0
    nothing = project.branchline("approve", run)
    assert (nothing.code, "nothing waits" in nothing.err) == (2, True)


def test_a_rejected_batch_is_quarantined_and_the_rest_lands(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    run = project.run(plan(good()), MERGE).json["run_id"]
    done = project.branchline("reject", run, "--reason", "not now", "--json", USER="alice")
    assert (done.code, done.json["status"]) == (5, "partial"), done.err
    assert project.files("main") == ["README.md", "good.txt"]
    assert fate(done, "ci") == {"id": "ci", "state": "FAILED", "reason": "batch ci-1 rejected by alice: not now"}
    kept = project.root / ".runs" / run / "gate"
    assert "rejected by alice: not now" in (kept / "rejected" / "ci-1" / "report.md").read_text()
    assert not (kept / "approved" / "ci-1").exists()
    assert project.show(f"refs/branchline/{run}/gate/ci-1", CI) == "on: push\n"
    assert project.branchline("verify", run).code == 0
    task = next(r["task_id"] for r in events(project, "codegate") if r["context"]["verdict"] == "rejected")
    again = project.branchline("retry", run, task, "--json")
    assert (again.code, waits(again)) == (4, ["ci"]), "whoever changes their mind is asked again"
    assert project.files("main") == ["README.md", "good.txt"]


def test_a_word_on_another_tree_is_refused(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    ran = project.run(plan())
    (one,) = ran.json["waiting"]
    forged = {"kind": "approve", "by": "mallory", "task_id": one["task_id"], "tree": project.tree("main")}
    inbox = project.root / ".runs" / ran.json["run_id"] / "inbox"
    (inbox / "01.json").write_text(json.dumps(forged))
    (inbox / "02.json").write_text(json.dumps({**forged, "tree": ""}))
    (inbox / "03.json").write_text(json.dumps({**forged, "tree": one["tree"], "task_id": "task_001_preflight"}))
    again = project.branchline("resume", "--json")
    assert (again.code, waits(again)) == (4, ["ci"])
    refused = [r["context"]["refused"] for r in events(project, "intent_received")]
    assert [("another tree" in text, "does not wait" in text) for text in refused] == [
        (True, False), (True, False), (False, True)
    ]  # fmt: skip
    assert events(project, "approval") == []


def test_a_live_run_is_told_and_goes_on(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    go = tmp_path / "go"
    slow = workstream("slow", sh(f"until test -e {go}; do sleep 0.05; done"), write("slow.txt", "s\n"))
    plan_file, config = project.request(plan(slow), {"retry": {"max_attempts": 1}})
    argv = [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config), "--yes"]
    with subprocess.Popen(
        [*argv, "--json"], cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as run:
        until = time.monotonic() + project.patience
        while time.monotonic() < until:
            time.sleep(0.2)
            if list(project.root.glob(".runs/*/logs/run.jsonl")) and events(project, "approval_needed"):
                break
        status = project.branchline("status", "--json").json
        assert status["status"] == "running"
        assert [one["workstream"] for one in status["waiting"]] == ["ci"]
        told = project.branchline("approve", "--json")
        assert (told.code, told.json["asked"]) == (0, "approve"), told.err
        go.touch()
        out, _ = run.communicate(timeout=project.patience)
    assert (run.returncode, json.loads(out)["status"]) == (0, "succeeded")


def test_an_agent_approves_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    said = tmp_path / "said"
    command = f"{sys.executable} -m branchline approve --repo {project.root} > {said} 2>&1"
    ran = project.run(
        plan(workstream("sly", sh(f"{command}; echo $? >> {said}; echo s > s.txt"))), {"sandbox": {"min": 0}}
    )
    assert (ran.code, waits(ran)) == (4, ["ci"]), ran.err
    assert events(project, "approval") == []
    if said.exists():  # else a sandbox kept it from writing there
        assert said.read_text().splitlines()[-1] == "2"
        assert "may neither approve nor reject" in said.read_text()


VARIANTS = {
    "edit": 'echo "on: pull_request" > .github/workflows/old.yml',
    "mode": "chmod +x .github/workflows/old.yml",
    "rename": "mkdir -p docs; git mv .github/workflows/old.yml docs/old.yml",
    "delete": "rm .github/workflows/old.yml",
    "case": "echo x > claude.MD",
    "unicode": "mkdir -p .\uff47ithub/workflows; echo x > .\uff47ithub/workflows/new.yml",
    "link": "ln -s src .claude",
    "target": "echo changed > docs/agents.md",
    "dot": "echo x > CLAUDE.md.",
}


def test_no_variant_of_a_protected_path_passes_unapproved(tmp_path: Path) -> None:
    """Through the real pipeline; every path, each in every variant: tests/unit/steps/test_approving.py."""
    files = {".github/workflows/old.yml": "on: push\n", "docs/agents.md": "a\n", "src/x.py": "x\n"}
    project = Project.make(tmp_path / "p", files)
    (project.root / "AGENTS.md").symlink_to("docs/agents.md")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "link")
    before = project.tree("main")
    streams = [workstream(name, sh(script)) for name, script in VARIANTS.items()]
    ran = project.run({"goal": "g", "workstreams": streams}, MERGE)
    assert (ran.code, sorted(waits(ran))) == (4, sorted(VARIANTS)), ran.err
    done = project.branchline("reject", "--json")
    assert (done.code, done.json["status"]) == (1, "failed")
    assert project.tree("main") == before


@pytest.mark.parametrize(("mode", "code"), [("reject", 1), ("allow", 0)])
def test_settings_may_say_otherwise(tmp_path: Path, mode: str, code: int) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    ran = project.run(plan(), {"approvals": {"protected": mode}, "repair": {"rounds": 0}})
    assert ran.code == code, ran.err
    assert ("a protected path" in fate(ran, "ci")["reason"]) == (mode == "reject")


def test_shipping_waits_and_what_nobody_has_seen_waits_again(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    ran = project.run({"goal": "g", "workstreams": [good()]}, {**MERGE, "approvals": {"ship": True}})
    run, before = ran.json["run_id"], project.git("rev-parse", "main")
    assert (ran.code, waits(ran)) == (4, ["ship"])
    assert project.git("rev-parse", "main") == before
    assert "+g" in project.branchline("diff", run).out.splitlines()
    project.commit("meanwhile", {"other.txt": "o\n"})
    again = project.branchline("approve", run, "--json")
    assert (again.code, waits(again)) == (4, ["ship"]), again.err
    assert project.files("main") == ["README.md", "other.txt"]
    assert again.json["waiting"][0]["tree"] != ran.json["waiting"][0]["tree"]
    shown = project.branchline("diff", run).out
    assert ("+g" in shown.splitlines(), "other.txt" in shown) == (True, False)
    done = project.branchline("approve", run, "ship", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert project.tree("main") == again.json["waiting"][0]["tree"], "what was approved is what landed"
    assert project.branchline("verify", run).code == 0


def test_shipping_that_is_rejected_leaves_the_target_alone(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    before = project.git("rev-parse", "main")
    ran = project.run({"goal": "g", "workstreams": [good()]}, {**MERGE, "approvals": {"ship": True}})
    project.commit("meanwhile", {"other.txt": "o\n"})
    done = project.branchline("reject", "--reason", "wait for monday", "--json", USER="alice")
    assert (done.code, done.json["shipped"]) == (1, None), done.err
    assert "rejected by alice: wait for monday" in fate(done, "good")["reason"]
    assert project.git("rev-parse", "main^") == before
    assert project.show(f"integration/{ran.json['run_id']}", "good.txt") == "g\n"


def test_cancel_ends_what_waits(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    project.run(plan())
    assert project.branchline("cancel").code == 0
    status = project.branchline("status", "--json").json
    assert (status["status"], status["waiting"]) == ("cancelled", [])


def test_the_same_change_in_the_same_place_twice_is_nobodys_yes(tmp_path: Path) -> None:
    """Two workstreams change one workflow, each approved: what their merge makes of it, nobody has seen."""
    body = "".join(f"line{n}:\n" for n in range(30))
    project = Project.make(tmp_path / "p", {CI: body})
    top, end = sh(f"sed -i '1s/.*/top:/' {CI}"), sh(f"sed -i '30s/.*/end:/' {CI}")
    ran = project.run({"goal": "g", "workstreams": [workstream("a", top), workstream("b", end)]}, MERGE)
    assert sorted(waits(ran)) == ["a", "b"], ran.err
    both = project.branchline("approve", "--json")
    assert (both.code, waits(both)) == (4, ["ship"]), both.err
    assert project.show("main", CI) == body
    done = project.branchline("approve", "--json")
    assert done.code == 0, done.err
    made = project.show("main", CI)
    assert made is not None
    assert (made.splitlines()[0], made.splitlines()[-1]) == ("top:", "end:")


def test_fixers_keep_their_hands_off_what_is_protected(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {CI: "on:  push\n", "CLAUDE.md": "x\n"})
    fix = f"for f in {CI} good.txt; do grep -q fixed $f || echo fixed >> $f; done"
    fixer = gate("fmt", "true", fix=["sh", "-c", fix])
    ran = project.run({"goal": "g", "workstreams": [good()]}, {**MERGE, "gates": [fixer]})
    assert ran.code == 0, ran.err
    assert (project.show("main", CI), project.show("main", "good.txt")) == ("on:  push\n", "g\nfixed\n")
