"""Agents that lay hands on git: they commit, move HEAD, switch branches, take the worktree's `.git` away."""

from pathlib import Path

import pytest

from support import Json, Project, fate, sh, workstream, write
from witness import assert_no_worktrees

SETTINGS: Json = {"ship": {"mode": "merge"}, "repair": {"rounds": 0}, "retry": {"max_attempts": 1}}
COMMIT = "git add -A && git -c user.name=x -c user.email=x@example.org commit -q -m own"
TRICKS = {
    "commits": f"{COMMIT} && echo 2 >> mine.txt && {COMMIT}",
    "amends": f"{COMMIT} && echo 2 >> mine.txt && {COMMIT} --amend",
    "detaches": f"git checkout -q --detach && {COMMIT} && echo 2 >> mine.txt",
    "switches": f"git switch -q -c elsewhere && {COMMIT} && echo 2 >> mine.txt",
    "stashes": "echo 2 >> mine.txt && git add -A && git -c user.name=x -c user.email=x stash -q && git stash pop -q",
    "unlinks": "echo 2 >> mine.txt && rm -rf .git",
    "replaces": f"echo 2 >> mine.txt && rm -rf .git && git init -q && {COMMIT}",
    "points": "echo 2 >> mine.txt && rm -rf .git && echo 'gitdir: /nowhere' > .git",
    "configures": "printf '[core]\n\tbare = true\n\tfsmonitor = false\n' >> .git/config && echo 2 >> mine.txt",
    "collects": f"{COMMIT} && echo 2 >> mine.txt && {COMMIT} && git gc -q --prune=now && git pack-refs --all",
    "hides": "git add -A && git update-index --assume-unchanged mine.txt && echo 2 >> mine.txt",
    "locks": "echo 2 >> mine.txt && : > $(git rev-parse --git-dir)/index.lock && : > $(git rev-parse --git-dir)/HEAD.lock",
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project.make(tmp_path / "p")
    project.commit("second", {"second.txt": "2\n"})
    return project


def test_whatever_is_done_to_git_the_files_land_as_one_commit(project: Project) -> None:
    base = project.git("rev-parse", "main")
    workstreams = [
        workstream(name, write("mine.txt", "1\n"), sh(script), sh(f"mkdir {name} && mv mine.txt {name}/"), write=[f"{name}/**"])
        for name, script in TRICKS.items()
    ]  # fmt: skip
    ran = project.run({"workstreams": workstreams}, SETTINGS)
    assert ran.code == 0, ran.err
    run_id = ran.json["run_id"]
    for name in TRICKS:
        assert project.show("main", f"{name}/mine.txt") == ("1\n2\n"), name
        branch = f"feature/{name}-{run_id}"
        assert project.git("rev-list", "--count", f"{base}..{branch}") == "1", name
        assert project.git("show", "-s", "--format=%an %s", branch) == f"Branchline checkpoint(codegate): {run_id}"
    assert project.git("rev-parse", f"feature/commits-{run_id}^") == base
    assert project.git("status", "--porcelain") == ""
    assert len(project.git("worktree", "list").splitlines()) == 1
    for name, own in (
        ("commits", 2),
        ("amends", 2),
        ("detaches", 1),
        ("switches", 1),
        ("replaces", 1),
        ("collects", 2),
    ):
        kept = project.git("log", "--format=%s", f"{base}..refs/branchline/{run_id}/saved/{name}").splitlines()
        assert kept.count("own") == own, (name, kept)
    assert project.git("fsck", "--connectivity-only", "--no-dangling") == ""


def test_going_back_in_history_is_a_change_like_any_other(project: Project) -> None:
    plan = {
        "workstreams": [
            workstream("back", sh("git reset -q --hard HEAD~1"), write("back.txt", "b\n"), write=["back.txt"]),
            workstream("softly", write("softly.txt", "s\n"), sh("git reset -q --soft HEAD~1"), write=["softly.txt"]),
            workstream("gone", sh("rm -rf ../gone")),
            workstream("linked", sh("cd .. && mv linked l && ln -s l linked"), write=["**"]),
        ]
    }
    ran = project.run(plan, SETTINGS)
    assert ran.code == 5, ran.err
    assert {w["id"]: w["state"] for w in ran.json["workstreams"]} == {
        "back": "FAILED", "softly": "COMPLETED", "gone": "FAILED", "linked": "FAILED",
    }  # fmt: skip
    report = Path(ran.json["run_dir"], "gate", "rejected", "back-1", "report.md").read_text()
    assert "'second.txt': outside the workstream's scope" in report
    assert project.show("main", "second.txt") == "2\n"
    assert project.show("main", "softly.txt") == "s\n"
    assert "internal error" not in ran.out
    assert "nothing to take" in fate(ran, "gone")["reason"]
    assert project.git("status", "--porcelain") == ""
    assert_no_worktrees(project)
