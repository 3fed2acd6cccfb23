"""Machines that are not the plain one: it works there, or says before the run what does not."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support import Project, gate, workstream, write

ADD = workstream("a", write("src/a.py", "a = 1\n"), title="Übung", write=["src/**"])
SETTINGS = {"ship": {"mode": "merge"}, "gates": [gate("ok", "true")]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.make(tmp_path / "p")


def run_by(project: Project, *before: str, redirect: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """`branchline run` started by another program, or with a shell's redirections."""
    plan, config = project.request({"workstreams": [ADD]}, SETTINGS)
    command = [
        *before,
        sys.executable,
        "-m",
        "branchline",
        "run",
        "--plan",
        str(plan),
        "--config",
        str(config),
        "--yes",
    ]
    if redirect:
        command = ["sh", "-c", f'"$@" {redirect}', "sh", *command]
    return subprocess.run(
        command, cwd=project.root, env={**os.environ, **env}, capture_output=True, text=True, timeout=100, check=False
    )


def landed(project: Project) -> bool:
    return project.show("main", "src/a.py") == "a = 1\n"


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_as_dev_null(project: Project, redirect: str) -> None:
    ran = run_by(project, redirect=redirect)
    assert (ran.returncode, landed(project)) == (0, True), ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_user_without_a_passwd_entry(project: Project) -> None:
    """As in a container that is started with `--user 12345`; the home is `/`, which he cannot write."""
    other = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*other, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody make a user namespace")
    ran = run_by(project, *other, HOME="/")
    assert (ran.returncode, landed(project)) == (0, True), ran.stderr


def test_the_home_of_a_user_without_a_passwd_entry_in_the_sandbox(project: Project) -> None:
    other = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
    if subprocess.run([*other, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets nobody make a user namespace")
    asked = [*other, sys.executable, "-m", "branchline", "doctor"]
    env = {**os.environ, "HOME": "/", "BRANCHLINE_SANDBOX": "3"}
    done = subprocess.run(asked, cwd=project.root, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert "crashed" not in done.stderr
    assert "sandbox: " in done.stdout


@pytest.mark.parametrize("folder", ["/dev/shm/branchline-field", "long"])
def test_a_place_for_temporary_files_that_is_odd(project: Project, tmp_path: Path, folder: str) -> None:
    """In memory, where the sandbox has a /dev of its own; or with a path that has no room for a socket."""
    place = Path(folder) if folder[0] == "/" else tmp_path / ("x" * 90)
    place.mkdir(exist_ok=True)
    plan, config = project.request({"workstreams": [ADD]}, {**SETTINGS, "sandbox": {"network": ["pypi.org"]}})
    args = ("run", "--plan", str(plan), "--config", str(config), "--yes")
    plain = project.branchline("doctor", BRANCHLINE_SANDBOX="3").out
    ran = project.branchline(*args, TMPDIR=str(place), BRANCHLINE_SANDBOX="3")
    assert (ran.code, landed(project)) == (0, True), ran.err
    if "rung 3" in plain:
        assert "rung 3" in project.branchline("doctor", BRANCHLINE_SANDBOX="3", TMPDIR=str(place)).out
    shutil.rmtree(place)


def test_a_locale_without_utf_8(project: Project) -> None:
    ran = run_by(project, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert (ran.returncode, landed(project)) == (0, True), ran.stderr
    assert "Übung" in project.git("log", "--format=%B", "main")


def strace(*what: str) -> Sequence[str]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    return ["strace", "-f", "-qq", "-o", os.devnull, *what]


def test_a_disk_without_locks_is_named_before_anything_runs(project: Project, tmp_path: Path) -> None:
    own = tmp_path / "tmp"  # another test's process could take a folder there, because it can lock it
    own.mkdir()
    ran = run_by(project, *strace("-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"), TMPDIR=str(own))
    assert ran.returncode == 2
    assert "run.lock cannot be locked: No locks available" in ran.stderr
    assert "driven by" not in ran.stderr
    assert not landed(project)


@pytest.mark.slow
def test_a_disk_without_hard_links_ships(project: Project) -> None:
    ran = run_by(project, *strace("-e", "trace=link,linkat", "-e", "inject=link,linkat:error=EPERM"))
    assert (ran.returncode, landed(project)) == (0, True), ran.stderr
    assert project.git("status", "--porcelain") == ""
    assert (project.root / "src/a.py").exists()
