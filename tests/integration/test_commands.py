"""The commands that go on with a run, end it, or bring its work back."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from support import Json, Project, Ran, fate, gate, sh, workstream, write

MERGE = {"ship": {"mode": "merge"}}


def task(project: Project, name: str) -> str:
    """The id of a task: `ship` is `task_017_ship`."""
    ids = {str(r["task_id"]) for r in project.records() if r["event"] == "state_transition"}
    return next(one for one in ids if one.split("_", 2)[2] == name)


def started(project: Project, since: int) -> list[str]:
    """The tasks that began after a record, without their numbers, sorted."""
    return sorted(r["task_id"].split("_", 2)[2] for r in project.records()[since:] if r.get("new_state") == "RUNNING")


def refs(project: Project, prefix: str = "refs/branchline") -> dict[str, str]:
    listing = project.git("for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split() for line in listing.splitlines())


@contextlib.contextmanager
def live(project: Project, plan: Json, settings: Json, *until: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A run in the background, once all those lines are in its ledger or files are there; never left behind."""
    files = project.request(plan, settings)
    argv = ["run", "--plan", str(files[0]), "--config", str(files[1]), "--yes", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "branchline", *argv],
        cwd=project.root,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while not all(_seen(project, text) for text in until):
            assert process.poll() is None, "the run ended by itself"
            assert time.monotonic() < deadline, f"{until} never came"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _seen(project: Project, text: str) -> bool:
    if text.startswith("/"):
        return Path(text).exists()
    return any(text in ledger.read_text() for ledger in project.root.glob(".runs/*/logs/run.jsonl"))


def ended(process: "subprocess.Popen[bytes]") -> Ran:
    out, _ = process.communicate(timeout=60)
    return Ran(process.returncode, out.decode(), "")


def hanging(marker: Path) -> Json:
    """One workstream that is done soon, and one that leaves three kinds of files and then hangs."""
    leave = f"echo half > half.txt; mkdir ignored; echo i > ignored/i.txt; echo y >> README.md; touch {marker}"
    return {"workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", sh(leave), "hang")]}


def project_with_ignored(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p", {"README.md": "# A project\n", ".gitignore": "ignored/\n"})


def test_saved_work_that_has_landed_can_be_let_go_with_what_ignored_files_weigh(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {".gitignore": "target/\n"})
    heavy = sh("mkdir target; head -c 3000000 /dev/urandom > target/big")
    streams = [
        workstream("a", write("a.txt", "a\n"), heavy),
        workstream("b", write("b.txt", "b\n"), heavy, sh("exit 1")),
    ]
    ran = project.run({"workstreams": streams}, {"ship": {"mode": "merge"}, "retry": {"max_attempts": 1}})
    assert ran.code == 5, ran.err
    run_id = ran.json["run_id"]
    saved = f"refs/branchline/{run_id}/saved/"
    assert "saved" not in {item["kind"] for item in project.branchline("gc", "--json").json["items"]}
    (told,) = project.branchline("gc", "--landed", "--dry-run", "--json").json["items"]
    assert (told["path"], told["outcome"]) == (f"{saved}a", "to do")
    assert told["size_bytes"] > 3_000_000
    (done,) = project.branchline("gc", "--landed", "--json").json["items"]
    assert done == {**told, "outcome": "removed", "reason": "git gc --prune=now frees its space"}
    assert project.git("for-each-ref", "--format=%(refname)", saved).split() == [f"{saved}b"], "b has not landed"
    project.git("reflog", "expire", "--expire=all", "--all")
    project.git("gc", "--quiet", "--prune=now")
    assert sum(path.stat().st_size for path in (project.root / ".git/objects").rglob("*.pack")) < 4_000_000
    assert project.branchline("verify").code == 0
    assert "let saved work go" in project.branchline("log", run_id).out
    assert project.branchline("doctor", "--repair").code in {0, 1}
    assert project.git("for-each-ref", f"{saved}a") == "", "nothing puts it back"


def test_cancel_keeps_everything_and_gc_loses_nothing(tmp_path: Path) -> None:
    project, marker = project_with_ignored(tmp_path), tmp_path / "left"
    with live(project, hanging(marker), MERGE, str(marker), "validate_ws_pass") as process:
        asked = project.branchline("cancel", "--json")
        assert asked.code == 0, asked.err + asked.out
        assert asked.json["status"] == "cancelling"
        ran = ended(process)
    assert (ran.code, ran.json["status"]) == (1, "cancelled")
    assert fate(ran, "b")["state"] == "CANCELLED", ran.out
    records = project.records()
    assert records[-1]["event"] == "run_end"
    assert records[-1]["context"]["status"] == "cancelled"
    moves = [r["new_state"] for r in records if r.get("task_id") == task(project, "archive") and "new_state" in r]
    assert moves == ["RUNNING", "COMPLETED"]
    run_dir = Path(ran.json["run_dir"])
    assert (run_dir / "artifacts" / "report.md").exists()
    assert {path.name for path in (project.work() / "w").iterdir()} == {"a", "b"}
    assert (project.workspace("b") / "ignored/i.txt").read_text() == "i\n"
    _diff_shows_a_workstream(project)
    before = refs(project)
    told = project.branchline("gc", "--dry-run", "--json").json
    assert (project.workspace("b") / "half.txt").exists()
    done = project.branchline("gc", "--json").json
    assert [(item["name"], item["outcome"]) for item in told["items"]] == [("a", "to do"), ("b", "to do")]
    assert [(item["name"], item["outcome"]) for item in done["items"]] == [("a", "removed"), ("b", "removed")]
    assert not project.work().exists()
    assert before.items() <= refs(project).items()
    _restore_brings_back(project, tmp_path / "back")
    assert project.branchline("gc", "--dry-run", "--json").json["items"] == []
    assert project.branchline("verify").code == 0


def _diff_shows_a_workstream(project: Project) -> None:
    assert project.branchline("diff", "--json").code == 2, "nothing was merged"
    run_id = project.records()[0]["run_id"]
    patch = project.branchline("diff", run_id, "a")
    assert patch.code == 0
    assert "+a\n" in patch.out
    sizes = project.branchline("diff", run_id[:20], "a", "--json").json
    assert sizes["files"] == [{"path": "a.txt", "added": 1, "deleted": 0}]


def _restore_brings_back(project: Project, folder: Path) -> None:
    run_id = project.records()[0]["run_id"]
    restored = project.branchline("restore", run_id, "b", "--to", str(folder), "--branch", "back")
    assert restored.code == 0, restored.err
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {
        "README.md": "# A project\ny\n", ".gitignore": "ignored/\n", "half.txt": "half\n", "ignored/i.txt": "i\n"
    }  # fmt: skip
    assert project.show("back", "ignored/i.txt") == "i\n"
    assert project.branchline("restore", run_id, "b", "--to", str(folder)).code == 2, "nothing is overwritten"


def test_resume_leaves_out_what_it_is_told_to(tmp_path: Path) -> None:
    project, marker = project_with_ignored(tmp_path), tmp_path / "left"
    with live(project, hanging(marker), MERGE, str(marker), "validate_ws_pass") as process:
        process.send_signal(signal.SIGINT)
        ran = ended(process)
    assert (ran.code, ran.json["status"]) == (130, "interrupted")
    since = len(project.records())
    again = project.branchline("resume", "--skip", task(project, "execute_b"), "--json")
    assert again.code == 5, again.err
    assert fate(again, "b") == {"id": "b", "state": "SKIPPED", "reason": "skipped by the user"}
    assert started(project, since) == ["archive", "merge", "merge_prep", "pr_ci", "ship"]
    assert project.files("main") == [".gitignore", "README.md", "a.txt"]
    assert any("/saved/b" in ref for ref in refs(project))


def test_resume_redoes_only_what_failed(tmp_path: Path) -> None:
    """Everything failed, for a reason that is gone; what had completed before stays."""
    project, cause = Project.make(tmp_path / "p"), tmp_path / "cause"
    cause.touch()
    plan = {"workstreams": [workstream("a", sh(f"! test -e {cause}"), write("a.txt", "a\n"))]}
    ran = project.run(plan, MERGE)
    assert (ran.code, ran.json["status"]) == (1, "failed")
    cause.unlink()
    since = len(project.records())
    again = project.branchline("resume", "--json")
    assert again.code == 0, again.err + again.out
    redone = started(project, since)
    assert "execute_a_r2" in redone
    assert not {"preflight", "run_init", "planning", "worktree_a"} & {name.removesuffix("_r2") for name in redone}
    assert project.show("main", "a.txt") == "a\n"
    assert project.branchline("resume").code == 2, "there is nothing left to resume"


def test_a_worktree_that_is_made_again_starts_clean(tmp_path: Path) -> None:
    """What the failed agent left is saved, and is not taken for something that set-up made."""
    project, cause = Project.make(tmp_path / "p"), tmp_path / "cause"
    cause.touch()
    fail_once = f"test ! -e left.txt && echo left > left.txt && echo a > a.txt && ! test -e {cause}"
    settings = {**MERGE, "setup": {"run": [["sh", "-c", "echo made > made.txt"]]}}
    ran = project.run({"workstreams": [workstream("a", sh(fail_once))]}, settings)
    assert ran.code == 1, ran.err
    cause.unlink()
    again = project.branchline("retry", ran.json["run_id"], task(project, "worktree_a"), "--json")
    assert again.code == 0, again.err
    assert project.files("main") == ["README.md", "a.txt", "left.txt", "old.txt", "src/x.py"]
    assert any(project.show(ref, "left.txt") == "left\n" for ref in refs(project) if "/saved/a" in ref)


def test_a_workstream_that_failed_is_retried_after_the_others_have_shipped(tmp_path: Path) -> None:
    """Shipping removed its worktree; it gets a new one, set up anew, and lands on what is on main by now."""
    project, cause = Project.make(tmp_path / "p"), tmp_path / "cause"
    cause.touch()
    plan = {
        "workstreams": [
            workstream("bad", sh(f"test -e made.txt && ! test -e {cause}"), write("bad.txt", "b\n")),
            workstream("good", write("good.txt", "g\n")),
        ]
    }
    ran = project.run(plan, {**MERGE, "setup": {"run": [["sh", "-c", "date +%s%N > made.txt"]]}})
    assert ran.code == 5, ran.err
    assert not project.work().exists()
    before = refs(project)
    shipped = project.git("rev-parse", "main")
    cause.unlink()
    since = len(project.records())
    again = project.branchline("retry", ran.json["run_id"], task(project, "execute_bad"), "--json")
    assert again.code == 0, again.err
    assert again.json["shipped"]["tag"] == f"release/{ran.json['run_id']}-2"
    assert project.git("rev-parse", ran.json["shipped"]["tag"]) == shipped
    assert not any(name.startswith(("execute_good", "worktree_good")) for name in started(project, since))
    assert project.files("main") == ["README.md", "bad.txt", "good.txt", "old.txt", "src/x.py"]
    project.git("merge-base", "--is-ancestor", shipped, "main")
    assert before.keys() <= refs(project).keys()


def test_a_live_run_is_asked_to_check_again_what_it_rejected(tmp_path: Path) -> None:
    project, cause, go = Project.make(tmp_path / "p"), tmp_path / "cause", tmp_path / "go"
    cause.touch()
    wait = f"for _ in $(seq 600); do test -e {go} && exit 0; sleep 0.05; done; exit 1"
    plan = {
        "workstreams": [
            workstream("a", write("a.txt", "a\n")),
            workstream("b", sh(wait), write("b.txt", "b\n")),
        ]
    }
    settings = {**MERGE, "gates": [gate("cause", f"! test -e {cause}")], "repair": {"rounds": 0}}
    with live(project, plan, settings, '"gave_up"') as process:
        run_id = project.records()[0]["run_id"]
        cause.unlink()
        asked = project.branchline("retry", run_id, task(project, "gate_a"), "--json")
        assert (asked.code, asked.json["asked"]) == (0, "retry")
        go.touch()
        ran = ended(process)
    assert ran.code == 0, ran.out
    assert "gate_a_r2" in started(project, 0)
    assert "execute_a_r2" not in started(project, 0)
    assert project.files("main") == ["README.md", "a.txt", "b.txt", "old.txt", "src/x.py"]


def test_back_to_a_checkpoint_and_a_workstream_from_its_start(tmp_path: Path) -> None:
    """What came after the checkpoint is done again, to the same commit; then one workstream, from its worktree on."""
    project = Project.make(tmp_path / "p")
    plan = {"workstreams": [workstream(n, write(f"{n}.txt", f"{n}\n")) for n in ("a", "b")]}
    ran = project.run(plan)
    assert ran.code == 0, ran.err
    commit = ran.json["integration"]["commit"]
    sizes = project.branchline("diff", "--json").json["files"]
    assert [(file["path"], file["added"]) for file in sizes] == [("a.txt", 1), ("b.txt", 1)]
    records = project.records()
    prepared = next(
        r["seq"]
        for r in records
        if r.get("task_id") == task(project, "merge_prep") and r.get("new_state") == "COMPLETED"
    )
    since = len(records)
    again = project.branchline("resume", "--checkpoint", str(prepared), "--json")
    assert again.code == 0, again.err
    assert started(project, since) == ["archive_r2", "merge_r2", "pr_ci_r2", "ship_r2"]
    assert again.json["integration"]["commit"] == commit
    last = json.loads((Path(ran.json["run_dir"]) / "checkpoint.json").read_text())
    assert last["checkpoint_id"] == str(len(project.records()) - 1)
    since = len(project.records())
    retried = project.branchline("retry", ran.json["run_id"], task(project, "worktree_a"), "--json")
    assert retried.code == 0, retried.err
    assert {"worktree_a_r2", "execute_a_r2", "validate_a_r2", "ship_r3"} <= set(started(project, since))
    assert not any("_b" in name for name in started(project, since))
    assert project.tree(retried.json["integration"]["commit"]) == project.tree(commit)
    assert project.branchline("resume", "--checkpoint", "99999").code == 2
    assert project.branchline("verify").code == 0
