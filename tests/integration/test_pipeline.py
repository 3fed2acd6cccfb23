"""The main job, whole: a plan goes in, a verified commit comes out, and every artefact of the contract is there."""

import json
from pathlib import Path

from branchline.config.load import load_settings, plan_of
from branchline.core.run_state import replay
from branchline.engine.inline_driver import InlineDriver
from branchline.engine.pipeline import Session, start
from branchline.engine.request import pin
from branchline.git.repo import Repo
from branchline.ledger.log import read
from support import Project, edit, fate, gate, sh, workstream, write

STEP_EVENTS = {
    "worktree_saved", "preflight", "run_prepared", "archived",
    "run_start", "plan_complete", "worktrees_ready", "agent_called", "execute_ws_complete", "codegate", "ws_checkpoint",
    "validate_ws_pass", "merge_queue", "integration_complete", "pr_opened", "ci_status", "ship_complete", "run_end",
}  # fmt: skip
CHECKPOINTS = {
    "preflight",
    "run-init",
    "plan-complete",
    "codegate",
    "validate-pass",
    "integration-complete",
    "ship-complete",
}


def two() -> dict[str, object]:
    return {
        "goal": "Add greetings",
        "workstreams": [
            workstream("a", write("hello.txt", "hello\n"), edit("src/x.py", "1", "2"), title="Add hello"),
            workstream("b", write("bye.txt", "bye\n"), {"delete": {"path": "old.txt"}}, sh("echo hi")),
        ],
    }


def test_a_plan_becomes_a_commit_on_main(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(two(), {"gates": [gate("present", "test -f README.md")], "ship": {"mode": "merge"}})
    assert ran.code == 0, ran.err
    made = ran.json
    head = project.git("rev-parse", "main")
    assert made["status"] == "succeeded"
    assert made["integration"] == {"branch": f"integration/{made['run_id']}", "commit": head}
    assert made["shipped"] == {"target": "main", "commit": head, "tag": f"release/{made['run_id']}"}
    assert [(w["id"], w["state"]) for w in made["workstreams"]] == [("a", "COMPLETED"), ("b", "COMPLETED")]
    assert project.files("main") == ["README.md", "bye.txt", "hello.txt", "src/x.py"]
    assert project.git("rev-parse", f"release/{made['run_id']}") == head
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "hello.txt").read_text() == "hello\n"


def test_the_ledger_and_the_artefacts_of_the_contract(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(two(), {"ship": {"mode": "merge"}})
    run_dir = Path(ran.json["run_dir"])
    records = project.records()
    moves = [r for r in records if r["event"] == "state_transition"]
    assert {r["event"] for r in records} == STEP_EVENTS | {"state_transition"}
    assert len({r["task_id"] for r in moves}) == 18
    assert [r["seq"] for r in records] == list(range(len(records)))
    assert {r["trace_id"] for r in records} == {ran.json["run_id"]}
    assert all({"old_state", "new_state", "attempt", "timestamp", "context", "run_id"} <= r.keys() for r in moves)
    for name in ("preflight.json", "execution_plan.yaml", "merge_queue.json", "pull_request.json", "report.md"):
        assert (run_dir / "artifacts" / name).stat().st_size, name
    assert (run_dir / "prompt.md").read_text() == "Add greetings\n"
    assert {p.name for p in (run_dir / "gate" / "approved").iterdir()} == {"a-1", "b-1"}
    assert len(list((run_dir / "checkpoints").glob("task_*.json"))) == 18
    whole = json.loads((run_dir / "checkpoint.json").read_text())
    assert whole["last_completed_task"] == "task_018_archive"
    assert (whole["pending_tasks"], whole["failed_tasks"], whole["can_resume"]) == ([], [], False)
    messages = project.git("log", "--all", "--format=%s").splitlines()
    assert {m.split("(")[1].split(")")[0] for m in messages if m.startswith("checkpoint(")} == CHECKPOINTS
    assert project.branchline("verify").code == 0


HANDED_ON = {
    "preflight": {"report", "warnings", "absent", "containment"},
    "run_init": {"base", "target", "prompt"},
    "planning": {"digest", "workstreams", "file"},
    "worktree_a": {"path", "branch", "base", "setup"},
    "execute_a": {"tree", "commit", "files", "refused", "notes", "agent", "usage"},
    "gate_a": {"tree", "batch", "files", "gates", "report", "verdict", "approval"},
    "consume_a": {"commit", "tree", "branch"},
    "validate_a": {"commit", "report", "gates"},
    "merge_prep": {"eligible", "order", "excluded", "conflicts", "queue"},
    "merge": {"commit", "merged", "dropped", "branch", "approval"},
    "pr_ci": {"commit", "verdict", "request", "gates", "report"},
    "ship": {"commit", "merged", "dropped", "target", "tag", "branch", "saved"},
    "archive": {"report", "archive"},
}


def test_a_checkpoint_holds_its_steps_fact_and_the_ledger_holds_it_once(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    run_dir = Path(project.run(two(), {"ship": {"mode": "merge"}}).json["run_dir"])
    records = project.records()
    assert not [r for r in records if "outputs" in r["context"]]
    pages = {path.stem[9:]: json.loads(path.read_text()) for path in (run_dir / "checkpoints").glob("task_*.json")}
    for name, wanted in HANDED_ON.items():
        page = pages[name]
        assert wanted <= page["outputs"].keys(), name
        told = [r for r in records if r.get("task_id") == page["task_id"] and "new_state" not in r]
        fact = next(r for r in reversed(told) if r["event"] not in {"agent_called", "worktree_saved"})
        assert fact["context"].items() <= page["outputs"].items(), name
    for name, key in (("gate_a", "report"), ("pr_ci", "request"), ("archive", "archive"), ("planning", "file")):
        assert (run_dir / pages[name]["outputs"][key]).is_file()


def test_what_a_live_run_knows_of_its_steps_is_what_its_ledger_replays_to(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("shared.txt", "BAD\n"), repair_scripts=[[write("shared.txt", "a\n")]]),
            workstream("b", write("shared.txt", "b\n"), repair_scripts=[[write("shared.txt", "a and b\n")]]),
        ]
    }
    rules = {"gates": [gate("clean", "! grep -rn BAD *.txt")], "merge": {"on_conflict": "repair"}}
    plan_file, config = project.request(plan, rules)
    settings = load_settings(config, root=project.root)
    request = pin(Repo.open(project.root), settings, plan=plan_of(plan_file, settings))
    paths, state = request.run.paths, start(request, Session(driver=InlineDriver()))
    assert state.end is not None
    assert state.end.status == "succeeded", state.end.reason
    assert state.pipeline.integration is not None
    again = replay(record.event for record in read(paths).records)
    assert again.pipeline == state.pipeline
    assert again.records == state.records


def test_branch_mode_moves_nothing_of_the_users(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = project.git("rev-parse", "main")
    ran = project.run(two())
    assert ran.code == 0, ran.err
    assert ran.json["shipped"] is None
    assert project.git("rev-parse", "main") == before
    assert project.show(ran.json["integration"]["branch"], "hello.txt") == "hello\n"
    assert not (project.root / "hello.txt").exists()


def test_a_dirty_checkout_comes_out_byte_identical(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"README.md": "# mine, not committed\n", "notes.txt": "untracked\n", "src/x.py": "x = 3\n"})
    project.git("add", "src/x.py")
    before = _content(project.root)
    ran = project.run(two())
    assert ran.code == 0, ran.err
    assert _content(project.root) == before
    assert project.show(ran.json["integration"]["branch"], "src/x.py") == "x = 2\n"


def _content(root: Path) -> dict[str, bytes]:
    """Every file of the checkout, and the index."""
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in {".git", ".runs"}
    }
    return {**found, "index": (root / ".git" / "index").read_bytes()}


def test_a_workstream_starts_from_the_merged_result_of_those_it_depends_on(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("a", write("a.txt", "a\n")),
            workstream("b", write("b.txt", "b\n")),
            workstream("c", sh("cat a.txt b.txt > c.txt"), depends_on=["a", "b"]),
        ]
    }
    ran = project.run(plan, {"ship": {"mode": "merge"}})
    assert ran.code == 0, ran.err
    assert project.show("main", "c.txt") == "a\nb\n"


def test_set_up_ends_before_the_agent_starts_and_never_enters_the_batch(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"secret.env": "KEY=1\n", "deps/lib.txt": "lib\n"})
    setup = {"copy": ["*.env"], "symlink": ["deps"], "run": [["sh", "-c", "sleep 0.3; echo built > built.txt"]]}
    plan = {"workstreams": [workstream("a", sh("cat secret.env deps/lib.txt built.txt > seen.txt"))]}
    ran = project.run(plan, {"setup": setup, "ship": {"mode": "merge"}, "gates": [gate("built", "test -f built.txt")]})
    assert ran.code == 0, ran.err
    assert project.show("main", "seen.txt") == "KEY=1\nlib\nbuilt\n"
    assert set(project.files("main")) == {"README.md", "old.txt", "seen.txt", "src/x.py"}


def test_agents_set_up_and_gates_see_only_the_variables_that_are_named(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    look = 'test "$NAMED" = yes && test -z "$SECRET_KEY"'
    settings = {"env": ["NAMED"], "setup": {"run": [["sh", "-c", look]]}, "gates": [gate("env", look)]}
    plan = {"workstreams": [workstream("a", sh(look), write("a.txt", "a\n"))]}
    ran = project.run(plan, settings, NAMED="yes", SECRET_KEY="s3cret")
    assert ran.code == 0, ran.err
    assert "s3cret" not in json.dumps(project.records())


def test_a_failed_workstream_does_not_stop_the_others(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    plan = {
        "workstreams": [
            workstream("good", write("good.txt", "g\n")),
            workstream("bad", write("half.txt", "h\n"), {"fail": "out of ideas"}),
            workstream("after", write("after.txt", "x\n"), depends_on=["bad"]),
        ]
    }
    ran = project.run(plan, {"ship": {"mode": "merge"}})
    assert ran.code == 5
    assert ran.json["status"] == "partial"
    assert fate(ran, "good")["state"] == "COMPLETED"
    assert fate(ran, "bad")["state"] == "FAILED"
    assert "out of ideas" in fate(ran, "bad")["reason"]
    assert fate(ran, "after")["state"] == "CANCELLED"
    assert "half.txt" not in project.files("main")
    saved = project.git("for-each-ref", "--format=%(refname)", "refs/branchline/")
    kept = [ref for ref in saved.splitlines() if "/saved/bad" in ref]
    assert project.show(kept[0], "half.txt") == "h\n"
