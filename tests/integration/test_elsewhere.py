"""The record and the work area lie outside the checkout: what is done to it, or to them, loses no run and no work."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import Json, Project, Ran, fate, sh, workstream, write
from witness import see

# `git gc --prune=now` takes what another git is just writing (git-gc(1), "--prune"): an attempt may need a second go.
MERGE: Json = {"ship": {"mode": "merge"}, "retry": {"max_attempts": 3, "backoff": "fixed", "base_seconds": 0}}


def disturbing(folder: Path, script: str) -> Json:
    """An agent's step: the script lies outside, because without a sandbox it could otherwise not name the checkout."""
    (folder / "disturb.sh").write_text(script)
    return sh(f"sh {folder}/disturb.sh")


def run_with(project: Project, folder: Path, script: str, settings: Json | None = None) -> Ran:
    step = disturbing(folder, script)
    streams = [
        workstream("a", write("a.txt", "a\n"), step, write("aa.txt", "a\n")),
        workstream("b", write("b.txt", "b\n")),
    ]
    return project.run({"workstreams": streams}, settings or MERGE)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p", {"README.md": "r\n", ".gitignore": "cache/\n"})


CLEANING = {
    "git clean": "git -C {root} clean -ffdxq",
    "git stash": "cd {root} && echo x > cache && git -c user.name=u -c user.email=u stash -aq",
    "the link is deleted": "rm {root}/.runs",
    "git gc": "git -C {root} reflog expire --expire=now --all; git -C {root} gc -q --prune=now",
    "git repack": "git -C {root} repack -adq; git -C {root} pack-refs --all --prune",
    "another worktree": "git -C {root} worktree add -q --detach {root}-desk && git -C {root} worktree prune",
}


@pytest.mark.parametrize("how", CLEANING)
def test_a_run_goes_on_whatever_is_cleaned_meanwhile(project: Project, tmp_path: Path, how: str) -> None:
    ran = run_with(project, tmp_path, CLEANING[how].format(root=project.root))
    assert ran.code == 0, ran.err
    assert project.files("main") == [".gitignore", "README.md", "a.txt", "aa.txt", "b.txt"]
    assert project.branchline("status", "--json").json["status"] == "succeeded"
    assert project.branchline("verify").code == 0
    assert project.git("status", "--porcelain") == ""
    assert project.run({"workstreams": [workstream("c", write("c.txt", "c\n"))]}, MERGE).code == 0
    assert len(list((project.root / ".runs").glob("*/logs"))) == 2


def test_the_worktree_that_a_run_was_started_in_is_removed_meanwhile(project: Project, tmp_path: Path) -> None:
    desk = Project(tmp_path / "desk")
    project.git("worktree", "add", "-q", "-b", "work", str(desk.root))
    script = f"git -C {project.root} worktree remove --force {desk.root} || true"
    ran = run_with(desk, tmp_path, script, {**MERGE, "ship": {"mode": "branch"}})
    assert ran.code in {0, 1}, ran.err
    assert "internal error" not in ran.err
    assert "Traceback" not in ran.err
    told = project.branchline("status", "--json").json
    if told["status"] != "succeeded":
        again = project.branchline("resume", "--json")
        assert again.code == 0, (ran.err, again.err)
        told = again.json
    assert project.files(f"integration/{told['run_id']}") == [".gitignore", "README.md", "a.txt", "aa.txt", "b.txt"]
    assert project.branchline("verify").code == 0


def test_a_repository_that_is_moved_meanwhile_goes_on_in_its_new_place(project: Project, tmp_path: Path) -> None:
    ran = run_with(project, tmp_path, f"mv {project.root} {tmp_path}/moved; mkdir {project.root}")
    assert "Traceback" not in ran.err
    moved = Project(tmp_path / "moved")
    told = moved.branchline("status", "--json").json
    if told["status"] != "succeeded":
        again = moved.branchline("resume", "--json")
        for name, task in {"a": "task_006_execute_a", "b": "task_007_execute_b"}.items():
            if (
                fate(again, name)["state"] == "FAILED"
            ):  # it was at work when its repository went, until no attempt was left
                again = moved.branchline("retry", told["run_id"], task, "--json")
        assert again.code == 0, (ran.err, again.err)
    assert moved.files("main") == [".gitignore", "README.md", "a.txt", "aa.txt", "b.txt"]
    assert moved.branchline("verify").code == 0


def test_a_work_area_that_is_deleted_meanwhile_fails_its_attempts_and_is_made_again(
    project: Project, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    ran = project.run(
        {"workstreams": [workstream("a", write("a.txt", "a\n"), disturbing(tmp_path, f"test -e {tmp_path}/once || {{ touch {tmp_path}/once; rm -rf {state}; }}"), write("aa.txt", "a\n"))]},
        {**MERGE, "retry": {"max_attempts": 2, "backoff": "fixed", "base_seconds": 0}},
        BRANCHLINE_STATE=str(state),
    )  # fmt: skip
    assert "Traceback" not in ran.err
    assert "internal error" not in ran.err
    if ran.code != 0:
        ran = project.branchline("resume", "--json", BRANCHLINE_STATE=str(state))
    assert ran.code == 0, ran.err
    assert project.files("main") == [".gitignore", "README.md", "a.txt", "aa.txt"]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="needs a second file system")
def test_the_work_area_may_lie_on_another_file_system(project: Project, tmp_path: Path) -> None:
    state = Path("/dev/shm") / f"bl-{os.getpid()}"
    try:
        left = "mkfifo pipe; mkdir cache; git -C cache init -q; export GIT_AUTHOR_NAME=u GIT_AUTHOR_EMAIL=u GIT_COMMITTER_NAME=u GIT_COMMITTER_EMAIL=u; git -C cache commit -q --allow-empty -m own"
        ran = project.run(
            {"workstreams": [workstream("a", write("a.txt", "a\n"), sh(left)), workstream("b", sh("exit 1"))]},
            MERGE,
            BRANCHLINE_STATE=str(state),
        )
        assert ran.code == 5, ran.err
        assert project.files("main") == [".gitignore", "README.md", "a.txt"]
        assert project.work().is_relative_to(state)
        assert [*Path(ran.json["run_dir"]).glob("kept/a/*/cache/.git/HEAD")]
        assert project.branchline("gc", BRANCHLINE_STATE=str(state)).code == 0
        assert not project.work().exists()
    finally:
        shutil.rmtree(state, ignore_errors=True)


Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Makes a file system of its own with the options of mount(8)."""
    place = tmp_path / "disk"

    def mounted(options: str) -> Path:
        place.mkdir(mode=0o700)
        command = ["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", str(place)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a file system")
        return place

    yield mounted
    if place.is_mount():
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize(
    ("options", "code", "words"), [("size=400m,noexec", 0, "is mounted noexec"), ("ro", 2, "it cannot be written")]
)
def test_a_work_area_on_a_disk_that_runs_nothing_or_takes_nothing(
    project: Project, mount: Mount, options: str, code: int, words: str
) -> None:
    before = see(project)
    plan = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
    ran = project.run(plan, MERGE, BRANCHLINE_STATE=str(mount(options)))
    assert (ran.code, words in ran.err, "export BRANCHLINE_STATE=FOLDER" in ran.err) == (code, True, True), ran.err
    assert code == 0 or see(project) == before


def test_a_work_area_without_room_is_said_before_anybody_works(project: Project, mount: Mount) -> None:
    small = mount("size=1m")
    project.commit("large", {"large.txt": "x" * 300_000})
    before = see(project)
    ran = project.run({"workstreams": [workstream("a", write("a.txt", "a\n"))]}, MERGE, BRANCHLINE_STATE=str(small))
    assert ran.code == 1, ran.err
    assert "MB are free on the disk of" in ran.err
    assert "export BRANCHLINE_STATE=FOLDER" in ran.err
    assert see(project) == before
    again = project.branchline("resume", "--json", BRANCHLINE_STATE=str(small.with_name("roomy")))
    assert again.code == 0, again.err
    assert "a.txt" in project.files("main")


def test_a_work_area_that_cannot_be_written_is_refused_with_the_variable(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = see(project)
    ran = project.run(
        {"workstreams": [workstream("a", write("a.txt", "a\n"))]}, MERGE, BRANCHLINE_STATE=f"{tmp_path}/file/x"
    )
    assert ran.code == 2
    assert "hint: export BRANCHLINE_STATE=FOLDER" in ran.err
    assert see(project) == before


def test_another_state_folder_in_the_middle_of_a_run_is_followed(project: Project, tmp_path: Path) -> None:
    """The workspaces stay where record 0 says; a variable that changed meanwhile means new runs."""
    waits = project.run(
        {"workstreams": [workstream("a", write(".github/workflows/ci.yml", "on: push\n"))]},
        MERGE,
        BRANCHLINE_STATE=str(tmp_path / "one"),
    )
    assert waits.code == 4, waits.err
    ran = project.branchline("approve", "--json", BRANCHLINE_STATE=str(tmp_path / "two"))
    assert ran.code == 0, ran.err
    assert not [*(tmp_path / "one").glob("*/*/w/*")], "what was there has been saved"
