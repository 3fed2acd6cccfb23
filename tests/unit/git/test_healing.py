"""What is wrong with a run's worktrees and locks, found and mended; see also integration/test_wounds.py."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from branchline.git.healing import Named, Place, Wound, lock_wounds, registration_wounds
from branchline.git.repo import Repo
from branchline.git.worktree import Head, Worktrees
from unit.git.sandbox import Sandbox
from unit.git.test_worktree import POISONS

RUN = "01RUN"


@pytest.fixture
def place(box: Sandbox) -> Place:
    """The worktrees `a` and `b` of a run, which an agent may have worked in, if they are there."""
    repo = Repo.open(box.root, marker=f"{RUN}@0123")
    folder = box.root / ".runs" / RUN
    named = [Named(folder / "worktrees" / name, f"refs/heads/feature/{name}-{RUN}", given=True) for name in "ab"]
    return Place(repo, Worktrees(repo, box.scratch / "lock"), RUN, named, folder / "scratch")


def made(place: Place, name: str = "a") -> Path:
    path = place.named["ab".index(name)].path
    return place.worktrees.add(path, place.repo.head_commit(), f"feature/{name}-{RUN}")


def mended(place: Place) -> list[str]:
    """What was done, as the coordinator does it."""

    def mend(found: list[Wound]) -> list[str]:
        for one in found:
            assert one.mend is not None, one
            one.mend()
        return [f"{one.name}: {one.cure}" for one in found]

    with place.worktrees.one_writer():
        done = mend(list(registration_wounds(place)))
    return done + mend(list(lock_wounds(place)))


@pytest.mark.parametrize("poison", POISONS, ids=lambda poison: poison.__name__)
def test_ours_is_repaired_and_the_rest_is_left(box: Sandbox, place: Place, poison: Callable[[Path], None]) -> None:
    box.git("worktree", "add", "-q", "-b", "side", str(box.scratch / "side"))
    path, other = made(place), made(place, "b")
    admins = place.repo.common_dir / "worktrees"
    poison(admins / "a")
    (admins / "b" / "index.lock").touch()
    (admins / "side" / "index.lock").touch()
    (path / "work").write_text("precious")
    mended(place)
    assert box.git("worktree", "list").count("\n") == 4
    assert (admins / "side" / "index.lock").exists()
    assert not (admins / "b" / "index.lock").exists()
    assert place.worktrees.head(path) == Head(f"refs/heads/feature/a-{RUN}", place.repo.head_commit())
    assert box.git("status", "--porcelain", "--", "work", cwd=path) == "?? work\n"
    assert other.is_dir()
    assert mended(place) == []


def test_one_that_was_being_made_goes_and_one_that_was_given_stays(box: Sandbox, place: Place) -> None:
    paths = [made(place, name) for name in "ab"]
    for name in "ab":
        (place.repo.common_dir / "worktrees" / name / "branchline").unlink()
    half = Named(place.named[0].path, place.named[0].ref, given=False)
    place = Place(place.repo, place.worktrees, RUN, [half, place.named[1]], place.scratch)
    assert mended(place) == ["worktree a: remove it", "worktree b: write the registration again"]
    assert [path.exists() for path in paths] == [False, True]


def test_the_locks_of_the_runs_refs_go_and_no_others(box: Sandbox, place: Place) -> None:
    mine = [f"refs/heads/feature/a-{RUN}", f"refs/branchline/{RUN}/x"]
    others = ["refs/heads/other", f"refs/heads/feature/c-{RUN}", f"refs/branchline/{RUN}2/x"]
    for name in mine + others:
        lock = place.repo.common_dir / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    assert sorted(mended(place)) == sorted(f"{name}: remove it" for name in mine)
    assert all((place.repo.common_dir / f"{name}.lock").exists() for name in others)
    place.repo.move_ref(mine[0], place.repo.head_commit(), None)


def test_a_lock_that_somebody_holds_stays(place: Place) -> None:
    made(place)
    lock = place.repo.common_dir / "worktrees" / "a" / "index.lock"
    script = "import sys, time; f = open(sys.argv[1], 'w'); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        (found,) = lock_wounds(place)
        assert found.mend is None
        assert found.command.startswith(f"rm {lock}")
        holder.kill()
    assert mended(place) == ["worktree a: remove it"]


def test_what_is_in_the_way_is_for_a_person(place: Place) -> None:
    path = place.named[0].path
    (path / "src").mkdir(parents=True)
    place = Place(place.repo, place.worktrees, RUN, [Named(path, place.named[0].ref, given=False)], place.scratch)
    (found,) = registration_wounds(place)
    assert (found.mend, found.command) == (None, f"mv {path} {path}.other")


def test_a_worktree_that_moved_comes_back_unless_its_place_is_taken(box: Sandbox, place: Place) -> None:
    path = made(place)
    (path / "work").write_text("precious")
    away = box.scratch / "away"
    box.git("worktree", "unlock", str(path))
    box.git("worktree", "move", str(path), str(away))
    path.mkdir()
    (found,) = registration_wounds(place)
    assert found.mend is None
    path.rmdir()
    assert mended(place) == ["worktree a: move it back"]
    assert (path / "work").read_text() == "precious"
    assert not os.path.lexists(away)


def test_a_worktree_of_the_same_run_id_elsewhere_is_not_ours(box: Sandbox, place: Place) -> None:
    """Two checkouts of a repository can each hold a run with one fixed id."""
    other = box.scratch / ".runs" / RUN / "worktrees" / "a"
    Worktrees(place.repo, box.scratch / "lock").add(other, place.repo.head_commit(), "feature/other")
    before = (place.repo.common_dir / "worktrees" / "a" / "gitdir").read_bytes()
    assert mended(place) == []
    assert (place.repo.common_dir / "worktrees" / "a" / "gitdir").read_bytes() == before


def test_removals_are_finished_and_names_inside_of_a_worktree_left_alone(box: Sandbox, place: Place) -> None:
    worktrees = place.named[0].path.parent
    half, inside = worktrees / ".removed-a", worktrees / "b" / ".removed-a"
    ours, theirs = (place.repo.common_dir / f"branchline-removed-{name}@a" for name in (RUN, f"{RUN}2"))
    for folder in (half, inside, ours, theirs):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    place = Place(place.repo, place.worktrees, RUN, place.named[:1], place.scratch)
    assert mended(place) == [".removed-a: remove it", f"branchline-removed-{RUN}@a: remove it"]
    assert [folder.exists() for folder in (half, inside, ours, theirs)] == [False, True, False, True]
