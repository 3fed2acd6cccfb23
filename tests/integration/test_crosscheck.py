"""`verify` against git and the checkpoint files: whatever is gone or was moved by hand is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support import Json, Project, gate, workstream, write

PLAN: Json = {
    "goal": "g",
    "workstreams": [workstream("a", write("a.txt", "a\n")), workstream("b", write("b.txt", "b\n"))],
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, str]:
    """A run of which `a` shipped and `b` was rejected."""
    project = Project.make(tmp_path_factory.mktemp("ended") / "p")
    settings = {"gates": [gate("no-b", "! test -e b.txt")], "repair": {"rounds": 0}, "ship": {"mode": "merge"}}
    ran = project.run(PLAN, settings)
    assert ran.code == 5, ran.err
    return project, ran.json["run_id"]


def move(ref: str, to: str = "refs/branchline/RUN/base/a") -> Callable[[Project, str], None]:
    return lambda project, run: _set(project, ref.replace("RUN", run), project.git("rev-parse", to.replace("RUN", run)))


def drop(ref: str) -> Callable[[Project, str], None]:
    return lambda project, run: _set(project, ref.replace("RUN", run), None)


def _set(project: Project, ref: str, to: str | None) -> None:
    project.git("update-ref", ref, to) if to else project.git("update-ref", "-d", ref)


def page(name: str, change: Callable[[Path], object]) -> Callable[[Project, str], None]:
    def done(project: Project, run: str) -> None:
        change(project.root / ".runs" / run / "checkpoints" / name)

    return done


def rewritten(place: Path) -> None:
    place.write_text(json.dumps({**json.loads(place.read_text()), "outputs": {"commit": "f" * 40}}))


def no_object(project: Project, run: str) -> None:
    oid = project.git("rev-parse", f"refs/branchline/{run}/checkpoint/codegate/a")
    (project.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()


OWN = "refs/branchline/RUN/"
WOUNDS: dict[str, tuple[Callable[[Project, str], None], int, str]] = {
    "attempt": (move(f"{OWN}attempts/task_006_execute_a/1"), 1, "attempts/task_006_execute_a/1 was moved"),
    "attempt gone": (drop(f"{OWN}attempts/task_007_execute_b/1"), 1, "attempts/task_007_execute_b/1 is gone"),
    "batch": (move(f"{OWN}gate/b-1"), 1, "gate/b-1 was moved"),
    "base": (move(f"{OWN}base/a", "main"), 1, "base/a was moved: it is at"),
    "checkpoint": (move(f"{OWN}checkpoint/integration-complete"), 1, "does not stand on"),
    "first checkpoint": (drop(f"{OWN}checkpoint/preflight"), 1, "checkpoint/preflight is gone"),
    "codegate": (move(f"{OWN}checkpoint/codegate/a"), 1, "checkpoint/codegate/a was moved"),
    "saved": (drop(f"{OWN}saved/b"), 1, "saved/b is gone"),
    "tag": (move("refs/tags/release/RUN"), 1, "refs/tags/release/RUN was moved"),
    "target": (move("refs/heads/main"), 1, "main was moved: it does not hold"),
    "branch": (drop("refs/heads/feature/a-RUN"), 0, "note: refs/heads/feature/a-RUN is gone"),
    "integration": (move("refs/heads/integration/RUN"), 0, "note: refs/heads/integration/RUN was moved"),
    "page": (page("task_010_consume_a.json", rewritten), 1, "is not what the ledger says"),
    "no page": (page("task_017_ship.json", Path.unlink), 1, "task_017_ship.json is missing"),
    "half a page": (page("task_017_ship.json", lambda place: place.write_text("{")), 1, "cannot be read"),
    "object": (no_object, 1, "is gone"),
}


def test_a_run_as_it_was_left_is_as_its_ledger_says(ended: tuple[Project, str]) -> None:
    project, run = ended
    found = project.branchline("verify", run, "--json")
    assert (found.code, found.json["differences"]) == (0, []), found.out
    (project.root / "later").write_text("l")
    project.git("add", "later")
    project.git("commit", "-q", "-m", "later")
    assert project.branchline("verify", run).code == 0, "a target that went on holds it still"


@pytest.mark.parametrize("wound", WOUNDS)
def test_what_was_moved_by_hand_is_named(ended: tuple[Project, str], tmp_path: Path, wound: str) -> None:
    shutil.copytree(ended[0].root, tmp_path / "p", symlinks=True)
    project, run = Project(tmp_path / "p"), ended[1]
    inflict, code, words = WOUNDS[wound]
    inflict(project, run)
    said = project.branchline("verify", run)
    assert (said.code, words.replace("RUN", run) in said.out) == (code, True), said.out
    assert "record" in said.out


def test_a_run_that_can_go_on_may_lack_a_page(tmp_path: Path) -> None:
    project = Project.make(tmp_path / "p")
    ran = project.run({"goal": "g", "workstreams": [workstream("a", write("CLAUDE.md", "x\n"))]})
    assert ran.code == 4
    place = project.root / ".runs" / ran.json["run_id"] / "checkpoints" / "task_001_preflight.json"
    place.unlink()
    said = project.branchline("verify")
    assert (said.code, "note: checkpoints/" in said.out) == (0, True), said.out
    assert project.branchline("resume").code == 4
    assert place.exists(), "the resume wrote it"
