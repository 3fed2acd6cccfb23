"""Not saved, not removed: whatever an attempt comes to, its tree has a ref; what git cannot hold stays as a file."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import Json, Project, sh, workstream, write


def restored(project: Project, run: str, what: str, to: Path) -> Path:
    done = project.branchline("restore", run, what, "--to", str(to))
    assert done.code == 0, done.err
    return to


def saved(project: Project) -> list[Json]:
    return [r["context"] for r in project.records() if r["event"] == "worktree_saved"]


def test_every_attempt_has_a_ref_however_it_ended(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n", ".gitignore": "*.tmp\n"})
    stray = sh("echo precious > ignored.tmp; echo b > b.txt; exit 3")
    streams = [
        workstream("a", write("a.txt", "a\n")),
        workstream("b", stray),
        workstream("c", write("c.txt", "c\n"), "hang"),
    ]
    settings = {"agent_timeout": "2s", "retry": {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0}}
    ran = project.run({"goal": "g", "workstreams": streams}, settings)
    run = ran.json["run_id"]
    assert ran.code == 5, ran.err
    for task, tries, file in (
        ("007_execute_a", 1, "a.txt"),
        ("008_execute_b", 2, "b.txt"),
        ("009_execute_c", 2, "c.txt"),
    ):
        for number in range(1, tries + 1):
            folder = restored(project, run, f"attempts/task_{task}/{number}", tmp_path / f"{task}-{number}")
            assert (folder / file).exists(), (task, number)
    assert (restored(project, run, "task_008_execute_b", tmp_path / "by-task") / "b.txt").exists()
    assert (restored(project, run, "b", tmp_path / "b") / "ignored.tmp").read_text() == "precious\n"
    assert {(s["workstream"], s["removed"]) for s in saved(project) if s.get("removed")} == {
        (name, True) for name in "abc"
    }
    assert not project.work().exists()


def test_a_run_that_failed_keeps_its_worktrees_and_has_them_saved_all_the_same(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n", ".gitignore": "*.tmp\n"})
    stray = sh("echo precious > ignored.tmp; git init -q nested; echo n > nested/n; exit 3")
    ran = project.run({"goal": "g", "workstreams": [workstream("a", stray)]}, {"retry": {"max_attempts": 1}})
    assert "kept as it is" in project.branchline("log").out
    assert (ran.code, (project.workspace("a") / "nested").exists()) == (1, True)
    assert (restored(project, ran.json["run_id"], "a", tmp_path / "a") / "ignored.tmp").read_text() == "precious\n"
    (last,) = [s for s in saved(project) if not s.get("removed")][-1:]
    assert "nested/.git" in last["left_out"][0]
    removed = project.branchline("gc", "--json").json["items"]
    assert [(i["kind"], i["outcome"], "nested/.git" in i["reason"]) for i in removed] == [("worktree", "removed", True)]
    kept = list(Path(ran.json["run_dir"]).glob("kept/a/*/nested/.git"))
    assert len(kept) == 1
    again = project.branchline("gc", "--json").json["items"]
    assert [(i["kind"], i["outcome"]) for i in again] == [("kept", "left")], "not without the word for it"
    assert kept[0].exists()
    assert project.branchline("gc", "--kept").code == 0
    assert not kept[0].exists()


def test_commits_in_a_repository_that_an_agent_made_itself_are_kept(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    own = "rm -r .git; git init -q .; echo a > a.txt; git add -A; git -c user.name=u -c user.email=u@x commit -qm own"
    ran = project.run({"goal": "g", "workstreams": [workstream("a", sh(own))]})
    assert ran.code == 0, ran.err
    run = ran.json["run_id"]
    assert project.git("log", "--format=%s", f"refs/branchline/{run}/attempts/task_005_execute_a/1-commits") == "own"
    assert project.git("log", "--format=%s", "-1", f"refs/branchline/{run}/saved/a^2") == "own"


RUINS = {
    "deleted": "rm -r .git",
    "a file": "rm -r .git; echo gitdir: /nowhere > .git",
    "a link": "mv .git ../x; ln -s ../x .git",
    "a pipe": "rm -r .git; mkfifo .git",
    "pipes in it": "for p in HEAD index config packed-refs objects/info/alternates; do rm .git/$p; mkfifo .git/$p; done",
    "objects gone": "rm -r .git/objects",
    "a commit gone": "git commit -qam x; o=$(git rev-parse HEAD^{tree}); rm -f .git/objects/${o%??????????????????????????????????????}/*",
    "garbage": "for f in $(find .git -type f); do chmod u+w $f; echo garbage > $f; done",
}


@pytest.mark.parametrize("ruin", RUINS)
def test_what_an_agent_made_lands_whatever_it_made_of_its_git(tmp_path: Path, ruin: str) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    before = users_git(project)
    streams = [workstream("a", sh(f"echo a > a.txt; {RUINS[ruin]}")), workstream("b", write("b.txt", "b\n"))]
    ran = project.run({"goal": "g", "workstreams": streams}, {"agent_timeout": "20s"})
    assert ran.code == 0, ran.err
    commit = ran.json["integration"]["commit"]
    assert project.files(commit) == ["README.md", "a.txt", "b.txt"]
    assert project.git("fsck", "--full", "--strict", "--no-dangling") == ""
    assert users_git(project) == before


def users_git(project: Project) -> dict[str, bytes]:
    """All of the git directory but what runs write: their record, refs, objects, and a line that hides their link."""
    git, ours = project.root / ".git", ("branchline", "objects", "refs", "logs", "packed-refs", "info/exclude")
    files = {str(path.relative_to(git)): path for path in git.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(ours)}


def test_an_attempt_whose_coordinator_was_killed_comes_back_after_a_cancel(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    plan: Json = {"goal": "g", "workstreams": [workstream("a", write("half.txt", "half\n"), "hang")]}
    plan_file, config = project.request(plan, None)
    argv = [sys.executable, "-m", "branchline", "run", "--plan", str(plan_file), "--config", str(config), "--yes"]
    with subprocess.Popen(argv, cwd=project.root, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as run:
        until = time.monotonic() + project.patience
        while not (project.has_begun() and (project.workspace("a") / "half.txt").exists()):
            assert time.monotonic() < until
            time.sleep(0.1)
        run.send_signal(signal.SIGKILL)
    assert project.branchline("cancel").code == 0
    run_id = project.branchline("status", "--json").json["run_id"]
    assert (restored(project, run_id, "task_005_execute_a", tmp_path / "back") / "half.txt").read_text() == "half\n"
    assert project.branchline("verify").code == 0


def test_a_worktree_that_cannot_be_saved_stays_and_the_others_go(tmp_path: Path) -> None:
    """No save, no removal: here git cannot write the ref."""
    project = Project.make(tmp_path / "p", {"README.md": "r\n"})
    streams = [workstream(name, sh("exit 3")) for name in "ab"]
    ran = project.run({"goal": "g", "workstreams": streams}, {"retry": {"max_attempts": 1}})
    run, worktrees = ran.json["run_id"], project.work() / "w"
    (worktrees / "b" / "later.txt").write_text("later\n")
    lock = project.root / ".git" / "refs" / "branchline" / run / "saved" / "b-2.lock"
    (lock / "in the way").mkdir(parents=True)
    found = project.branchline("gc", "--json")
    assert [(i["name"], i["outcome"]) for i in found.json["items"]] == [("a", "removed"), ("b", "failed")]
    assert (found.code, "b-2" in found.json["items"][1]["reason"]) == (1, True)
    assert (worktrees / "b" / "later.txt").read_text() == "later\n"
    shutil.rmtree(lock)
    assert project.branchline("gc").code == 0
    assert (restored(project, run, "b", tmp_path / "b") / "later.txt").read_text() == "later\n"
