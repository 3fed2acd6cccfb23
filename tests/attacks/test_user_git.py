"""What a person's git does beside a run, and after it: nothing of theirs is moved back, nothing of ours is lost (attacks 12, 13)."""

import shutil
from pathlib import Path

import pytest

from support import IDENTITY, SEAM, Json, Project, sh, workstream, write

SHIP: Json = {"ship": {"mode": "merge"}}
WHO = " ".join(f"{name}='{value}'" for name, value in IDENTITY.items() if "DATE" not in name)
EXPIRE = "reflog expire --expire=now --all"


def beside(project: Project, *commands: str) -> Json:
    """A plan whose agent works while a person types these git commands in the checkout."""
    typed = "; ".join(f"env -u GIT_DIR {WHO} git -C {project.root} {one} >&2" for one in commands)
    return {"goal": "g", "workstreams": [workstream("a", sh(typed), write("a.txt", "a\n"))]}


COMMITS = {
    "a commit": ("commit -q --allow-empty -m mine", EXPIRE),
    "an amended commit": ("commit -q --amend --allow-empty -m mine", EXPIRE),
    "several": ("commit -q --allow-empty -m one", "commit -q --allow-empty -m mine", EXPIRE, "gc -q --prune=now"),
    "a reset to another": ("commit -q --allow-empty -m mine", "reset -q --hard HEAD", EXPIRE),
    "on another branch": ("switch -q -c other", "commit -q --allow-empty -m mine", EXPIRE),
    "a merge": (
        "switch -q -c other",
        "commit -q --allow-empty -m side",
        "switch -q main",
        "merge -q --no-ff -m mine other",
        EXPIRE,
    ),
    "by update-ref": ("commit -q --allow-empty -m mine", "update-ref refs/heads/main HEAD", EXPIRE),
}


@pytest.mark.parametrize("case", COMMITS)
def test_a_commit_that_a_person_makes_meanwhile_stays(tmp_path: Path, case: str) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run(beside(project, *COMMITS[case]), SHIP)
    reached = project.git("log", "--format=%s", "--branches").splitlines()
    assert "mine" in reached, ran.err
    assert ran.code in {0, 1, 5, 6}
    shown = project.git("log", "-1", "--format=%s", "HEAD")
    assert shown == "mine" or "mine" in project.git("log", "--format=%s").splitlines()
    assert project.branchline("verify").code == 0


@pytest.mark.parametrize("branch", ["integration/RUN", "feature/a-RUN"])
def test_a_commit_on_a_branch_of_the_run_is_kept_before_the_branch_is_put_back(tmp_path: Path, branch: str) -> None:
    """A resume puts the run's own branches back; what stood there has a ref then, at each time."""
    project = Project.make(tmp_path / "p")
    plan: Json = {"workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", sh("exit 1"))]}
    ran = project.run(plan, {**SHIP, "retry": {"max_attempts": 1}})
    run = ran.json["run_id"]
    name = branch.replace("RUN", run)
    if project.git("rev-parse", "--verify", "--quiet", name, check=False) == "":
        pytest.skip("this run did not come as far")
    made = list[str]()
    for _ in range(2):
        made.append(project.git("commit-tree", "-p", name, "-m", f"mine {len(made)}", f"{name}^{{tree}}"))
        project.git("update-ref", f"refs/heads/{name}", made[-1])
        project.git(*EXPIRE.split())
        project.branchline("resume", run)
        held = project.git("rev-list", "--all").splitlines()
        assert set(made) <= set(held)


@pytest.mark.parametrize("branch", ["integration/RUN", "feature/a-RUN"])
def test_a_commit_on_a_branch_of_a_live_run_is_kept(tmp_path: Path, branch: str) -> None:
    """The step that moves the branch next gives what stands there a ref."""
    project, name = Project.make(tmp_path / "p"), branch.replace("RUN", SEAM["BRANCHLINE_RUN_ID"])
    made = "$(env -u GIT_DIR git commit-tree -p main -m mine main^{tree})"
    typed = f"cd {project.root} && export {WHO} && git update-ref refs/heads/{name} {made} && git {EXPIRE}"
    plan: Json = {"workstreams": [workstream("a", sh(f"({typed}) >&2"), write("a.txt", "a\n"))]}
    ran = project.run(plan, SHIP, **SEAM)
    assert ran.code == 0, ran.err
    assert "mine" in project.git("log", "--all", "--format=%s").splitlines()
    assert project.branchline("verify").code == 0


CLEANINGS = {
    "clean": ("clean -ffdxq",),
    "stash": ("stash --all -q",),
    "prune": ("worktree prune", "gc -q --prune=now", "prune --expire=now"),
    "repack": ("repack -adq", "pack-refs --all --prune", EXPIRE),
}


@pytest.mark.parametrize("when", ["during", "after"])
@pytest.mark.parametrize("case", CLEANINGS)
def test_cleaning_takes_nothing_of_the_run(tmp_path: Path, case: str, when: str) -> None:
    project = Project.make(tmp_path / "p")
    project.write({"left": "untracked\n"})
    ran = project.run(beside(project, *(CLEANINGS[case] if when == "during" else ())), SHIP)
    assert ran.code == 0, ran.err
    if when == "after":
        for command in CLEANINGS[case]:
            project.git(*command.split())
    run = ran.json["run_id"]
    assert project.branchline("verify", run).code == 0
    assert run in project.branchline("list").out
    assert project.branchline("show", run).code == 0
    stashed = project.git("stash", "list")
    held = project.git("ls-tree", "-r", "--name-only", "stash@{0}^3") if stashed else ""
    assert "run.jsonl" not in held, "a log in a stash would be a secret in git"


@pytest.mark.parametrize("when", ["during", "after"])
def test_the_link_is_all_that_goes_with_it(tmp_path: Path, when: str) -> None:
    project = Project.make(tmp_path / "p")
    plan = beside(project)
    if when == "during":
        plan["workstreams"][0]["script"].insert(0, sh(f"rm -rf {project.root}/.runs"))
    ran = project.run(plan, SHIP)
    assert ran.code == 0, ran.err
    if when == "after":
        (project.root / ".runs").unlink()
    for words in (("verify",), ("status",), ("list",), ("show",), ("doctor",)):
        said = project.branchline(*words)
        assert (said.code, "Traceback" in said.err) in ((0, False), (1, False)), said.err
        assert "doctor" in words or said.code == 0, said.err


@pytest.mark.parametrize("what", ["the run", "its logs", "all runs"])
def test_a_run_whose_folder_has_gone_is_known_by_its_refs(tmp_path: Path, what: str) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, SHIP)
    run, runs = ran.json["run_id"], project.root / ".git" / "branchline" / "runs"
    shutil.rmtree({"the run": runs / run, "its logs": runs / run / "logs", "all runs": runs.parent}[what])
    for word in ("list", "restore", "doctor"):
        said = project.branchline(word)
        assert run in said.out + said.err, (word, said.out, said.err)
        assert "Traceback" not in said.err
    for words in (("status", run), ("verify", run), ("resume", run), ("show", run), ("rollback", run), ("gc",)):
        said = project.branchline(*words)
        assert "crashed" not in said.err, said.err
        assert said.code in {0, 1, 2}
    restored = project.branchline("restore", run, "a", "--to", str(tmp_path / "back"))
    assert restored.code in {0, 2}, restored.err


def test_a_run_whose_folder_goes_under_it_ends_in_words(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    gone = sh(f"rm -rf {project.root}/.git/branchline/runs")
    ran = project.run({"workstreams": [workstream("a", gone, write("a.txt", "a\n"))]}, SHIP)
    assert ran.code in {1, 2}, ran.err
    assert "crashed" not in ran.err, ran.err
    assert "Traceback" not in ran.err
    assert project.files("main") == ["README.md", "old.txt", "src/x.py"]
