"""Repositories that are not the plain one: a run works there, or says why not before an agent is called."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import Project, Ran, gate, workstream, write

ADD = workstream("a", write("src/a.py", "a = 1\n"), write=["src/**"])
SETTINGS = {"ship": {"mode": "merge"}, "gates": [gate("ok", "true")]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def run(project: Project, *args: str, **env: str) -> Ran:
    return project.run({"workstreams": [ADD]}, SETTINGS, *args, **env)


def lands(project: Project, ran: Ran, branch: str = "main") -> None:
    assert ran.code == 0, ran.err
    assert project.show(branch, "src/a.py") == "a = 1\n"


def stops(project: Project, ran: Ran, *words: str) -> None:
    """It ends before any agent is called, and says why."""
    assert ran.code in {1, 2}, ran.err
    assert [word for word in words if word not in ran.err + ran.out] == [], ran.err + ran.out
    called = [record for record in project.records() if record["event"] == "agent_called"] if ran.code == 1 else []
    assert called == []


def cloned(origin: Project, place: Path, *options: str) -> Project:
    command = ["git", "clone", "--quiet", *options, f"file://{origin.root}", str(place)]
    subprocess.run(command, env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}, capture_output=True, check=True)
    return Project(place)


@pytest.mark.parametrize("name", ["feature", "integration"])
def test_a_branch_in_the_way_of_a_run_s_own(project: Project, name: str) -> None:
    project.git("branch", name)
    stops(project, run(project), f"the branch {name} is in the way", f"git branch -m {name} {name}-old")
    doctor = project.branchline("doctor")
    assert doctor.code == 1
    assert f"git branch -m {name} {name}-old" in doctor.out
    project.git("branch", "-m", name, f"{name}-old")
    lands(project, run(project))


def test_a_tag_in_the_way(project: Project) -> None:
    project.git("tag", "release")
    stops(project, run(project), "the tag release is in the way")


def test_a_rebase_of_the_target(project: Project) -> None:
    project.commit("one", {"b.txt": "1\n"})
    project.git("-c", "sequence.editor=sed -i s/pick/edit/", "rebase", "--quiet", "-i", "HEAD~1")
    stops(project, run(project, "--base", "main"), "a rebase of main is in progress", "rebase --continue")


def test_the_git_directory_elsewhere(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.git("init", "--quiet", f"--separate-git-dir={tmp_path}/gd")
    lands(project, run(project))
    assert project.git("status", "--porcelain") == ""


def test_a_worktree_that_was_deleted_by_hand(project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "--quiet", str(tmp_path / "w2"), "-b", "dev")
    subprocess.run(["rm", "-r", str(tmp_path / "w2")], check=True)
    lands(project, run(project, "--base", "dev"), "dev")


def test_line_endings_that_are_set_for_the_user(project: Project, tmp_path: Path) -> None:
    (tmp_path / "gitconfig").write_text("[core]\n\tautocrlf = true\n")
    config = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", str(project.root), str(clone)]
    subprocess.run(command, env={**os.environ, **config}, check=True)
    assert (clone / "src/x.py").read_bytes() == b"x = 1\r\n"
    lands(Project(clone), run(Project(clone), **config))
    assert (clone / "src/a.py").read_bytes() == b"a = 1\r\n"


@pytest.mark.parametrize("options", [["--filter=blob:none"], ["--filter=tree:0"], ["--filter=blob:none", "--sparse"]])
def test_a_partial_clone_fetches_what_it_lacks(project: Project, tmp_path: Path, options: Sequence[str]) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("config", "uploadpack.allowAnySHA1InWant", "true")
    project.git("checkout", "--quiet", "-b", "other")
    project.commit("more", {"src/y.py": "y = 1\n", "deep/er/z.txt": "z\n"})
    project.git("checkout", "--quiet", "main")
    clone = cloned(project, tmp_path / "clone", *options)
    clone.git("branch", "other", "origin/other")
    lands(clone, run(clone, "--base", "other"), "other")


def test_a_partial_clone_whose_remote_is_gone(project: Project, tmp_path: Path) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    project.git("branch", "other", project.commit("more", {"y.txt": "y\n"}))
    project.git("reset", "--quiet", "--hard", "HEAD~1")
    clone = cloned(project, tmp_path / "clone", "--filter=blob:none")
    clone.git("branch", "other", "origin/other")
    clone.git("remote", "set-url", "origin", "file:///nothing-here")
    stops(clone, run(clone, "--base", "other"), "objects that a run needs are missing", "fetch origin")


def test_objects_of_a_mirror(project: Project, tmp_path: Path) -> None:
    lands(clone := cloned(project, tmp_path / "clone", "--reference", str(project.root)), run(clone))


def test_a_mirror_whose_fetches_would_prune_the_run(project: Project, tmp_path: Path) -> None:
    mirror = cloned(project, tmp_path / "m.git", "--mirror")
    mirror.git("worktree", "add", "--quiet", str(tmp_path / "w"), "main")
    ran = run(Project(tmp_path / "w"))
    assert ran.code == 0
    assert "a fetch from origin that prunes removes what a run makes" in ran.err
    mirror.git("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    mirror.git("config", "fetch.pruneTags", "true")
    found = Project(tmp_path / "w").branchline("doctor").out
    assert "that prunes removes" not in found
    assert "fetch.prunetags is set" in found


def test_the_folder_of_a_bare_repository_names_its_work_trees(project: Project, tmp_path: Path) -> None:
    bare = cloned(project, tmp_path / "m.git", "--bare")
    bare.git("worktree", "add", "--quiet", str(tmp_path / "w"), "main")
    ran = run(bare)
    assert ran.code == 2
    assert f"its work trees are {tmp_path}/w" in ran.err
    assert f"cd {tmp_path}/w" in ran.err
