"""Repositories that cannot be worked on as they are, and a git that cannot do the work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import IDENTITY, Json, Project, Ran, sh, workstream, write
from witness import assert_refused, assert_untouched, files_below, see

MERGE: Json = {"ship": {"mode": "merge"}}


def one(*script: Json, **fields: Any) -> Json:
    return {"workstreams": [workstream("a", *(script or (write("hello.txt", "hello\n"),)), **fields)]}


def git(folder: Path, *args: str) -> None:
    options = ("-c", "protocol.file.allow=always")
    subprocess.run(
        ["git", *options, *args], cwd=folder, env={**os.environ, **IDENTITY}, capture_output=True, check=True
    )


def test_not_a_repository(tmp_path: Path) -> None:
    folder = Project(tmp_path / "plain")
    folder.root.mkdir()
    folder.write({"notes.txt": "mine\n"})
    before = files_below(tmp_path / "plain")
    ran = folder.run(one())
    assert_refused(ran, 2, str(folder.root), "not in the work tree of a git repository", hint="git init")
    assert ran.json["error"]["exit_code"] == 2
    assert files_below(folder.root) == before
    assert not (folder.root / ".runs").exists()


def test_no_commits(tmp_path: Path) -> None:
    project = Project(tmp_path / "p")
    project.root.mkdir()
    project.git("init", "--quiet", "--initial-branch=main")
    project.write({"staged.txt": "s\n"})
    project.git("add", "--all")
    before = see(project)
    assert_refused(project.run(one()), 2, str(project.root), "no commit to start from", hint="git commit")
    assert_untouched(project, before)
    assert not (project.root / ".runs").exists()


def test_a_detached_head_needs_a_base_and_is_left_where_it_is(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.git("checkout", "--quiet", "--detach")
    before = see(project)
    assert_refused(project.run(one()), 2, "HEAD of", "is detached", hint="--base BRANCH")
    assert_refused(project.run(one(), MERGE, "--base", "HEAD"), 2, "'HEAD' is not a branch", hint="--ship branch")
    assert_refused(project.run(one(), None, "--base", "nowhere"), 2, "no branch or commit 'nowhere'", hint="--base")
    assert_untouched(project, before)
    assert not (project.root / ".runs").exists()
    ran = project.run(one(), MERGE, "--base", "main")
    assert ran.code == 0, ran.err
    assert project.show("main", "hello.txt") == "hello\n"
    after = see(project)
    assert (after.files, after.index, after.head) == (before.files, before.index, before.head)


def test_a_detached_head_can_be_built_on_without_shipping(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    project.git("checkout", "--quiet", "--detach")
    before = see(project)
    ran = project.run(one(), None, "--base", project.git("rev-parse", "HEAD"))
    assert ran.code == 0, ran.err
    assert project.show(ran.json["integration"]["branch"], "hello.txt") == "hello\n"
    assert_untouched(project, before)


def test_a_shallow_clone_works_with_a_warning(tmp_path: Path) -> None:
    origin = Project.make(tmp_path / "origin")
    origin.commit("second", {"second.txt": "2\n"})
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin.root}", "p")
    project = Project(tmp_path / "p")
    ran = project.run(one(), MERGE)
    assert ran.code == 0, ran.err
    assert project.show("main", "hello.txt") == "hello\n"
    preflight = json.loads(Path(ran.json["run_dir"], "artifacts", "preflight.json").read_text())
    assert any("shallow clone" in warning for warning in preflight["warnings"])
    assert preflight["missing"] == []
    assert (project.root / ".git" / "shallow").read_text().strip() == origin.git("rev-parse", "main")


def test_a_bare_repository(tmp_path: Path) -> None:
    origin = Project.make(tmp_path / "origin")
    git(tmp_path, "clone", "--quiet", "--bare", str(origin.root), "bare.git")
    bare = Project(tmp_path / "bare.git")
    before = files_below(bare.root)
    assert_refused(bare.run(one()), 2, str(bare.root), "is a bare repository", hint="git clone")
    assert_refused(origin.run(one(), None, "--repo", str(bare.root)), 2, "is a bare repository", hint="git clone")
    assert files_below(bare.root) == before


def test_submodules_stay_and_a_workstream_that_changes_one_is_rejected(tmp_path: Path) -> None:
    Project.make(tmp_path / "library")
    project = Project.make(tmp_path / "p")
    git(project.root, "submodule", "--quiet", "add", "../library", "sub")
    git(project.root, "commit", "--quiet", "-m", "a submodule")
    link = project.git("ls-tree", "main", "--", "sub")
    own = "git init -q sub && cd sub && git -c user.name=x -c user.email=x commit -q --allow-empty -m x"
    plan = {
        "workstreams": [
            workstream("plain", write("hello.txt", "hello\n")),
            workstream("moves", write("moves.txt", "m\n"), sh(own)),
            workstream("fills", write("sub/inside.txt", "i\n"), repair_scripts=[[write("fills.txt", "f\n")]]),
            workstream("replaces", sh("rmdir sub && echo file > sub")),
        ]
    }
    ran = project.run(plan, {**MERGE, "repair": {"rounds": 1}})
    assert ran.code == 5, ran.err
    assert {w["id"]: w["state"] for w in ran.json["workstreams"]} == {
        "plain": "COMPLETED", "moves": "FAILED", "fills": "COMPLETED", "replaces": "FAILED",
    }  # fmt: skip
    assert project.git("ls-tree", "main", "--", "sub") == link
    assert project.files("main") == [".gitmodules", "README.md", "fills.txt", "hello.txt", "old.txt", "src/x.py", "sub"]
    assert project.git("status", "--porcelain") == ""
    report = Path(ran.json["run_dir"], "gate", "rejected", "moves-1", "report.md").read_text()
    assert "submodule" in report
    saved = project.git("for-each-ref", "--format=%(refname)", f"refs/branchline/{ran.json['run_id']}/saved/fills")
    assert project.show(saved, "sub/inside.txt") == "i\n"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    (project.root / ".git/branchline").write_text("a file in the way\n")
    before = see(project)
    assert_refused(project.run(one()), 2, "cannot write", ".git/branchline", hint="--repo")
    assert_untouched(project, before)
    assert (project.root / ".git/branchline").read_text() == "a file in the way\n"


def test_a_file_where_the_link_to_the_runs_would_be_stays_and_hinders_nothing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    (project.root / ".runs").write_text("a file in the way\n")
    assert project.run(one()).code == 0
    assert (project.root / ".runs").read_text() == "a file in the way\n"


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [(".", 2, "cannot write {root}"), (".git", 2, "cannot write {root}/.git/branchline")],
)
def test_a_read_only_repository(tmp_path: Path, place: str, code: int, words: str) -> None:
    project = Project.make(tmp_path / "p")
    plan, config = project.request(one())
    before = see(project)
    command = [sys.executable, "-m", "branchline", "run", "--plan", str(plan), "--config", str(config), "--yes"]
    ran = _with_read_only(project.root, place, command)
    assert_refused(ran, code, words.format(root=project.root))
    assert "hint: make" in ran.err or "branchline retry" in ran.err
    assert "PENDING, retry" not in ran.err
    assert_untouched(project, before)


def _with_read_only(root: Path, place: str, command: list[str]) -> Ran:
    """Run a command that cannot write below `root/place`: by modes, or for root, whom they do not bind, by a mount."""
    if os.geteuid() != 0:
        command = [
            "sh",
            "-c",
            'chmod -R u-w "$0" && { "$@"; code=$?; chmod -R u+w "$0"; exit $code; }',
            place,
            *command,
        ]
    else:
        apart = ["unshare", "--mount", "--propagation", "private"]
        if not shutil.which("unshare") or subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
            pytest.skip("root may write everywhere, and there is no mount namespace to take that away in")
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && cd "$PWD" && exec "$@"'
        command = [*apart, "sh", "-c", mount, str((root / place).resolve()), *command]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return Ran(done.returncode, done.stdout, done.stderr)


def test_git_is_missing(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = see(project)
    (tmp_path / "empty").mkdir()
    ran = project.run(one(), None, PATH=str(tmp_path / "empty"))
    assert_refused(ran, 2, "git is not on PATH", hint="install git 2.38 or newer")
    assert_untouched(project, before)
    assert not (project.root / ".runs").exists()


def test_git_is_too_old(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    before = see(project)
    old = tmp_path / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.37.4\n")
    old.chmod(0o755)
    path = f"{old.parent}{os.pathsep}{os.environ['PATH']}"
    ran = project.run(one(), None, PATH=path)
    assert_refused(ran, 2, "git version 2.37.4 is too old", "2.38", hint="install git 2.38 or newer")
    assert_untouched(project, before)
    assert not (project.root / ".runs").exists()
    doctor = project.branchline("doctor", PATH=path)
    assert doctor.code == 1
    assert "2.37.4" in doctor.out
