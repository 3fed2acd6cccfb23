"""Whatever a kill or a person leaves wrong of a run is found, and healed; nothing that is not the run's is touched."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchline.engine.healing import Healing, problems, repair
from branchline.engine.opening import open_run
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from support import SEAM, Project, gate, workstream, write
from wounds import MAINTENANCE, RUINS, RUN, WOUNDS, bytes_of, foreign, landing

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
    return [f"{one.name}: {one.text}" for one in problems(open_run(paths, state), reading.records, state)]


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


@pytest.mark.parametrize("name", MENDED)
def test_each_wound_is_found_and_healed(project: Project, name: str) -> None:
    before = bytes_of([project.workspace("a"), project.workspace("b")])
    WOUNDS[name].make(project)
    assert any(WOUNDS[name].said in one for one in seen(project)), seen(project)
    healing = healed(project)
    assert healing.done
    assert healing.left == []
    assert seen(project) == []
    assert bytes_of([project.workspace("a"), project.workspace("b")]) == before
    assert project.git("worktree", "list").count("\n") == 0


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


TOGETHER = [
    name for name in WOUNDS if name not in {"branch gone", "base moved", "batch moved", "checked out elsewhere"}
]


@pytest.mark.parametrize("ruin", RUINS)
def test_a_resume_mends_all_by_itself(tmp_path: Path, undisturbed: str, ruin: str) -> None:
    project = waiting(tmp_path)
    work = project.work()
    for command in MAINTENANCE:
        project.git(*command.split())
    for name in TOGETHER:
        WOUNDS[name].make(project)
    RUINS[ruin](project)
    ran = project.branchline("approve", RUN, "--json")
    assert ran.code == 0, ran.err
    assert project.git("rev-parse", "main") == undisturbed
    assert project.branchline("verify", RUN).code == 0
    kept = [record for record in project.records() if record["event"] == "healed"]
    assert len(kept) == 1
    assert project.git("worktree", "list").count("\n") == 0
    assert not work.exists()
    if ruin == "a link is in its place":
        assert (tmp_path / "was-a" / "CLAUDE.md").exists(), "what a link leads to is not ours"


def test_doctor_tells_and_repairs(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    for name in ("scratch", "orphan", "branch gone"):
        WOUNDS[name].make(project)
    told = project.branchline("doctor").out
    assert "-> branchline doctor --repair" in told
    for words in ("a step that was killed left it", "nobody drives the run", "is gone"):
        assert words in " ".join(told.split()), told
    mended = [
        one for one in json.loads(project.branchline("doctor", "--repair", "--json").out) if one["state"] == "repaired"
    ]
    assert len(mended) == 4, mended
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


def test_locks_that_others_take_too_stay_unless_they_are_of_our_landing(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    locks = [
        project.root / ".git" / name for name in ("refs/heads/main.lock", f"refs/tags/release/{RUN}.lock", "HEAD.lock")
    ]
    for content in ("", project.git("rev-parse", "main")):
        for lock in locks:
            lock.parent.mkdir(exist_ok=True)
            lock.write_text(content)
        assert healed(project) == Healing(), "nothing is landing"
    landing()(project)
    assert healed(project) == Healing(), "they name another commit"
    locks[2].write_text("")
    assert healed(project) == Healing(), "nobody claims the checkout"
    landing(claimed=True)(project)
    assert [one.name for one in healed(project).done] == ["lock HEAD.lock"]


def test_what_somebody_had_moved_a_ref_to_is_kept(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    theirs = project.git("commit-tree", "-m", "a person's", "main^{tree}")
    project.git("update-ref", f"refs/heads/feature/b-{RUN}", theirs)
    assert healed(project).left == []
    assert theirs in project.git("for-each-ref", "--format=%(objectname)", f"refs/branchline/{RUN}/moved")


def test_a_damaged_ledger_lets_nobody_repair(tmp_path: Path) -> None:
    project = waiting(tmp_path)
    WOUNDS["branch gone"].make(project)
    ledger = RunPaths(project.root, RUN).ledger
    ledger.write_bytes(ledger.read_bytes().replace(b'"seq":1,', b'"seq":9,', 1))
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
@given(chosen=st.lists(st.sampled_from([name for name in MENDED if name != "tag.lock"]), max_size=5))
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
