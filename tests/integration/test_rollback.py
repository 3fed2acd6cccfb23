"""What a run has shipped is undone by a new commit, or nothing happens at all."""

import os
import shutil
from pathlib import Path

import pytest

from support import Json, Project, sh, workstream, write

MERGE: Json = {"ship": {"mode": "merge"}}
FILES = {"README.md": "# A project\n", "src/x.py": "x = 1\n", "old.txt": "o\n"}
PLAN: Json = {
    "goal": "g",
    "workstreams": [
        workstream("a", write("a.txt", "a\n"), sh("echo 'x = 2' > src/x.py")),
        workstream("b", write("b/deep.txt", "b\n"), sh("rm old.txt; chmod +x README.md")),
    ],
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a run that has shipped; tests work on copies, because every run takes its time."""
    project = Project.make(tmp_path_factory.mktemp("shipped") / "p", FILES)
    ran = project.run(PLAN, MERGE)
    assert ran.code == 0, ran.err
    return project.root


@pytest.fixture
def shipped(template: Path, tmp_path: Path) -> tuple[Project, str]:
    shutil.copytree(template, tmp_path / "p", symlinks=True)
    project = Project(tmp_path / "p")
    (run,) = (path.name for path in (project.root / ".runs").iterdir() if (path / "logs").is_dir())
    return project, run


def refs(project: Project) -> str:
    return project.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags")


def test_everything_a_run_changed_is_undone_and_told(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    landed = project.git("rev-parse", "main")
    done = project.branchline("rollback", run, "--reason", "too slow", "--json", USER="alice")
    assert done.code == 0, done.err
    tip = project.git("rev-parse", "main")
    assert done.json == {"run_id": run, "target": "main", "commit": tip, "reverts": landed}
    assert project.git("diff", "--stat", f"{landed}~2", "main") == ""
    assert project.git("rev-parse", "main^") == landed, "history is not rewritten"
    assert project.git("status", "--porcelain") == "", "the checkout went along"
    assert f"Branchline-Rolls-Back: {landed}" in project.git("log", "-1", "--format=%B")
    assert project.git("rev-parse", f"release/{run}") == landed, "the tag stays"

    (record,) = [r for r in project.records() if r["event"] == "rolled_back"]
    assert record["context"] == {
        "target": "main", "commit": tip, "reverts": landed, "by": "alice", "reason": "too slow"
    }  # fmt: skip
    assert project.branchline("status", "--json").json["status"] == "rolled_back"
    assert "rolled_back" in project.branchline("list").out
    shown = project.branchline("show").out
    assert "rolled back by alice in" in shown
    assert project.branchline("verify").code == 0
    assert "rolled" in project.branchline("log").out.splitlines()[-1]

    again = project.branchline("rollback", run, "--json")
    assert (again.code, again.json) == (0, done.json), "a second time is the first time"
    assert project.git("rev-parse", "main") == tip
    assert project.branchline("resume", run).code == 2
    refused = project.branchline("retry", run, "task_017_ship")
    assert (refused.code, "rolled back" in refused.err) == (2, True), refused.err


def test_what_came_later_stays(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    project.commit("later", {"later.txt": "l\n"})
    assert project.branchline("rollback", run).code == 0
    assert project.files("main") == ["README.md", "later.txt", "old.txt", "src/x.py"]
    assert project.show("main", "src/x.py") == "x = 1\n"
    assert (project.root / "later.txt").read_text() == "l\n"


def test_a_target_that_is_not_checked_out(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    project.git("checkout", "--quiet", "-b", "elsewhere")
    assert project.branchline("rollback", run).code == 0
    assert project.files("main") == ["README.md", "old.txt", "src/x.py"]
    assert (project.root / "a.txt").exists()


def test_a_later_change_of_the_same_lines_is_never_undone(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    project.commit("later", {"src/x.py": "x = 3\n"})
    before = refs(project)
    refused = project.branchline("rollback", run)
    assert refused.code == 1
    assert "what came later changes src/x.py too; nothing was changed" in refused.err
    assert "hint: git revert -m 1 " in refused.err
    assert refs(project) == before
    assert project.git("status", "--porcelain") == ""
    hint = refused.err.split("hint: ")[1].splitlines()[0]
    assert project.branchline("status", "--json").json["status"] == "succeeded"
    assert len(project.git("rev-list", "--first-parent", hint.split()[-1].rstrip(")")).split()) == 2


def test_a_dirty_checkout_is_never_touched(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    (project.root / "src/x.py").write_text("x = 'mine'\n")
    before = refs(project)
    refused = project.branchline("rollback", run)
    assert (refused.code, "src/x.py is changed" in refused.err) == (1, True), refused.err
    assert refs(project) == before
    assert (project.root / "src/x.py").read_text() == "x = 'mine'\n"
    assert project.branchline("status", "--json").json["status"] == "succeeded"
    (project.root / "src/x.py").write_text("x = 2\n")
    assert project.branchline("rollback", run).code == 0
    assert project.files("main") == ["README.md", "old.txt", "src/x.py"]


def test_a_rollback_that_was_killed_before_it_was_recorded_is_completed(shipped: tuple[Project, str]) -> None:
    """The commit is made, the target has moved, the record is missing."""
    project, run = shipped
    logs, mark = project.root / ".runs" / run / "logs", f"refs/branchline/{run}/head"
    shutil.copytree(logs, logs.with_name("before"))
    old = project.git("rev-parse", mark)
    made = project.branchline("rollback", run, "--json").json["commit"]
    for later in (False, True):
        shutil.rmtree(logs)
        shutil.copytree(logs.with_name("before"), logs)
        project.git("update-ref", mark, old)
        if later:
            project.commit("later", {"later.txt": "l\n"})
        tip = project.git("rev-parse", "main")
        assert project.branchline("rollback", run, "--json").json["commit"] == made
        assert project.git("rev-parse", "main") == tip
        assert project.branchline("status", "--json").json["status"] == "rolled_back"


def test_a_rollback_whose_files_cannot_be_written_has_moved_the_target(
    shipped: tuple[Project, str], tmp_path: Path
) -> None:
    project, run = shipped
    (tmp_path / "bin").mkdir()
    git = tmp_path / "bin" / "git"
    half = f'case "$*" in *"read-tree -m -u"*) echo half >{project.root}/old.txt; exit 128;; esac'
    git.write_text(f'#!/bin/sh\n{half}\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    landed = project.git("rev-parse", "main")
    done = project.branchline("rollback", run, PATH=f"{git.parent}:{os.environ['PATH']}")
    assert (done.code, "is not all at" in done.err) == (1, True), done.err
    assert project.git("rev-parse", "main^") == landed
    assert project.branchline("status", "--json").json["status"] == "rolled_back"
    assert project.branchline("verify").code == 0
    project.git("config", "alias.do", "!" + done.err.rpartition("once the cause is gone: ")[2].splitlines()[0])
    project.git("do")
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "old.txt").read_text() == "o\n"


def test_a_target_that_git_holds_is_not_rolled_back(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    project.git("bisect", "start", "HEAD", "HEAD~2")
    before = refs(project)
    refused = project.branchline("rollback", run)
    assert (refused.code, "a bisect that began on main" in refused.err) == (1, True), refused.err
    assert f"hint: git -C {project.root} bisect reset" in refused.err
    assert refs(project) == before
    project.git("bisect", "reset")
    assert project.branchline("rollback", run).code == 0


def test_what_is_not_there_is_not_undone(shipped: tuple[Project, str]) -> None:
    project, run = shipped
    project.git("reset", "--quiet", "--hard", "HEAD~2")
    gone = project.branchline("rollback", run)
    assert (gone.code, "main does not hold" in gone.err) == (2, True), gone.err
    project.git("reset", "--quiet", "--hard", f"integration/{run}")
    project.git("rm", "--quiet", "a.txt", "b/deep.txt")
    project.git("checkout", "main~2", "--", "src/x.py", "old.txt", "README.md")
    project.git("commit", "--quiet", "-m", "by hand")
    nothing = project.branchline("rollback", run)
    assert (nothing.code, "nothing of run" in nothing.err) == (2, True), nothing.err


def test_a_run_that_moved_no_branch_says_what_to_do_instead(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", FILES)
    ran = project.run({"goal": "g", "workstreams": [workstream("a", write("a.txt", "a\n"))]})
    refused = project.branchline("rollback", ran.json["run_id"])
    assert (refused.code, "moved no branch" in refused.err) == (2, True), refused.err
    failed = project.run({"goal": "g", "workstreams": [workstream("a", sh("false"))]}, MERGE)
    refused = project.branchline("rollback", failed.json["run_id"])
    assert (refused.code, "has shipped nothing" in refused.err) == (2, True), refused.err


def test_a_run_that_merged_anew_is_undone_to_what_the_target_was(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p", FILES)
    moves = f"cd {project.root} && echo m > moved.txt && git add moved.txt && git -c user.name=u -c user.email=u@x commit -qm m"
    ran = project.run({"goal": "g", "workstreams": [workstream("a", write("a.txt", "a\n"), sh(moves))]}, MERGE)
    assert ran.code == 0, ran.err
    assert project.branchline("rollback", ran.json["run_id"]).code == 0
    assert project.files("main") == ["README.md", "moved.txt", "old.txt", "src/x.py"]
