"""Whatever a kill or a person leaves wrong of a run is found, and healed; nothing that is not the run's is touched."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchline.engine.healing import Healing, repair, wounds
from branchline.engine.opening import open_run
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from support import SEAM, Project, gate, workstream, write
from wounds import MAINTENANCE, RUN, WOUNDS, bytes_of, foreign, worktree

SETTINGS = {"ship": {"mode": "merge"}, "gates": [gate("clean", "! grep -rn BAD *.txt")]}
PLAN = {"workstreams": [workstream("a", write("CLAUDE.md", "x\n")), workstream("b", write("b.txt", "b\n"))]}


def waiting(folder: Path) -> Project:
    """A run of which one workstream waits for a person, the other one is ready to be merged; nobody drives it."""
    project = Project.make(folder / "p")
    ran = project.run(PLAN, SETTINGS, **SEAM)
    assert ran.code == 4, ran.err
    return project


def seen(project: Project) -> list[str]:
    """What is wrong, as `doctor` would say it, without its look at everything else."""
    paths = RunPaths(project.root, RUN)
    reading = read(paths)
    state = require(reading, paths)
    return [f"{one.name}: {one.text}" for one in wounds(open_run(paths, state), reading.records, state)]


def healed(project: Project) -> Healing:
    return repair(RunPaths(project.root, RUN))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    project = waiting(tmp_path_factory.mktemp("undisturbed"))
    assert project.branchline("approve", RUN, "--json").code == 0
    return project.git("rev-parse", "main")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return waiting(tmp_path_factory.mktemp("wounded"))


def test_nothing_is_wrong_with_a_run_that_waits(project: Project) -> None:
    assert seen(project) == []
    assert healed(project) == Healing()


MENDED = [name for name, wound in WOUNDS.items() if wound.mended and name != "orphan"]


@pytest.mark.parametrize("name", [name for name in MENDED if not name.startswith("folder")])
def test_each_wound_is_found_and_healed(project: Project, name: str) -> None:
    content = (worktree(project) / "CLAUDE.md").read_bytes()
    WOUNDS[name].make(project)
    assert any(WOUNDS[name].said in one for one in seen(project)), seen(project)
    healing = healed(project)
    assert healing.done
    assert healing.left == []
    assert seen(project) == []
    assert (worktree(project) / "CLAUDE.md").read_bytes() == content
    assert project.git("worktree", "list", "--porcelain").count("worktree ") == 3
    assert project.git("-C", str(worktree(project)), "rev-parse", "--abbrev-ref", "HEAD") == f"feature/a-{RUN}"
    assert project.git("-C", str(worktree(project)), "ls-files").split() == ["README.md", "old.txt", "src/x.py"]


def test_the_run_ends_as_it_would_have_ended_whatever_was_done_to_it_before(
    project: Project, undisturbed: str, tmp_path: Path
) -> None:
    shutil.copytree(project.root, tmp_path / "p", symlinks=True)  # the others, in whatever order, need theirs
    project = Project(tmp_path / "p")
    ran = project.branchline("approve", RUN, "--json")
    assert ran.code == 0, ran.err
    assert project.git("rev-parse", "main") == undisturbed
    assert project.branchline("verify", RUN).code == 0
    assert project.git("worktree", "list").count("\n") == 0
    assert project.git("fsck", "--connectivity-only", "--no-dangling") == ""


TOGETHER = ["index.lock", "index empty", "own ref.lock", "everything empty", "pointer a repository", "removal unfinished", "scratch",
            "orphan", "branch moved", "base gone", "batch gone", "attempt gone", "checkpoint gone", "folder of b gone"]  # fmt: skip


@pytest.mark.parametrize("last", [["folder replaced"], ["commondir empty", "moved by git"], []])
def test_a_resume_heals_all_by_itself(tmp_path: Path, undisturbed: str, last: list[str]) -> None:
    project = waiting(tmp_path)
    names = [
        name for name in TOGETHER if not (last and name in {"index empty", "everything empty", "pointer a repository"})
    ]
    for command in () if last else MAINTENANCE:
        project.git(*command.split())
    for name in (*names, *reversed(last)):
        WOUNDS[name].make(project)
    ran = project.branchline("approve", RUN, "--json")
    assert ran.code == 0, ran.err
    assert project.git("rev-parse", "main") == undisturbed
    assert project.branchline("verify", RUN).code == 0
    kept = [record for record in project.records() if record["event"] == "healed"]
    assert len(kept) == 1
    assert project.git("worktree", "list").count("\n") == 0
    if last == ["folder replaced"]:
        assert (tmp_path / "was-a" / "CLAUDE.md").exists(), "what a link leads to is not ours"
    if not last:
        assert list((project.root / ".runs" / RUN / "kept" / "a").rglob("precious"))


def test_doctor_tells_and_repairs(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    for name in ("commondir empty", "orphan", "branch gone"):
        WOUNDS[name].make(project)
    foreign_lock = project.root / ".git" / "packed-refs.lock"
    foreign_lock.touch()
    told = project.branchline("doctor").out
    assert "-> branchline doctor --repair" in told
    assert f"-> rm {foreign_lock}" in told
    for words in ("lacks commondir", "nobody drives the run", "is gone"):
        assert words in " ".join(told.split()), told
    mended = [
        one for one in json.loads(project.branchline("doctor", "--repair", "--json").out) if one["state"] == "repaired"
    ]
    assert len(mended) == 3, mended
    assert foreign_lock.exists()
    assert seen(project) == []
    assert "healed" in project.branchline("log", RUN).out


def test_a_branch_that_a_person_works_on_is_left_alone(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    WOUNDS["checked out elsewhere"].make(project)
    theirs = project.git("rev-parse", f"feature/b-{RUN}")
    found = healed(project)
    assert [one.command for one in found.left] == [f"git -C {tmp_path / 'elsewhere'} switch --detach"]
    assert project.git("rev-parse", f"feature/b-{RUN}") == theirs
    assert project.git("-C", str(tmp_path / "elsewhere"), "status", "--porcelain") == ""


def test_what_somebody_had_moved_a_ref_to_is_kept(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    theirs = project.git("commit-tree", "-m", "a person's", "main^{tree}")
    project.git("update-ref", f"refs/heads/feature/b-{RUN}", theirs)
    assert healed(project).left == []
    assert theirs in project.git("for-each-ref", "--format=%(objectname)", f"refs/branchline/{RUN}/moved")


def test_a_damaged_ledger_lets_nobody_repair(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    WOUNDS["commondir empty"].make(project)
    ledger = RunPaths(project.root, RUN).ledger
    ledger.write_bytes(ledger.read_bytes().replace(b"CLAUDE.md", b"CLAUDE.mx", 1))
    told = json.loads(project.branchline("doctor", "--repair", "--json").out)
    assert not [one for one in told if one["state"] == "repaired"]
    assert [one["next"] for one in told if one["name"] == f"run {RUN}"] == [f"branchline verify {RUN}"]


@pytest.mark.parametrize("how", [Path.rename, shutil.copytree], ids=["moved", "copied"])
def test_a_repository_that_was_moved_or_copied_goes_on(
    tmp_path: Path, undisturbed: str, how: Callable[..., object]
) -> None:
    original = waiting(tmp_path)
    if how is shutil.copytree:
        shutil.copytree(original.root, tmp_path / "q", symlinks=True)
        before = bytes_of([original.root])
    else:
        original.root.rename(tmp_path / "q")
    project = Project(tmp_path / "q")
    ran = project.branchline("approve", RUN, "--json")
    assert ran.code == 0, ran.err
    assert project.git("rev-parse", "main") == undisturbed
    if how is shutil.copytree:
        assert bytes_of([original.root]) == before


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(chosen=st.lists(st.sampled_from([name for name in MENDED if not name.startswith("folder")]), max_size=5))
def test_what_is_not_the_runs_is_never_touched(stranger: tuple[Project, list[Path]], chosen: list[str]) -> None:
    project, places = stranger
    before = bytes_of(places)
    for name in dict.fromkeys(chosen):
        try:
            WOUNDS[name].make(project)
        except (OSError, AssertionError, subprocess.CalledProcessError):
            continue  # another wound leaves no room for this one
    healed(project)
    assert seen(project) == []
    assert bytes_of(places) == before


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, list[Path]]:
    project = waiting(tmp_path_factory.mktemp("stranger"))
    return project, foreign(project)
