"""Where work is done: short, private, outside the repository, and one run's alone."""

import os
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.ledger.work import VARIABLE, WorkArea, claim, is_of, vacate, work_area


@pytest.fixture
def common(tmp_path: Path) -> Path:
    """A repository's git common directory."""
    (tmp_path / "my project.x" / ".git").mkdir(parents=True)
    return tmp_path / "my project.x" / ".git"


def area(common: Path, *outside: Path, **environ: str) -> WorkArea:
    return work_area(environ, common, common / "branchline/runs/R", *outside)


def test_names_are_short_enough_for_a_socket(common: Path) -> None:
    found = area(common, **{VARIABLE: str(common.parent.parent)})
    temporary = found.room("task_012_execute_a-long-name-of-a-workstream_r12", 10) / "tmp"
    below_home = f"/home/a-name/.local/state/branchline/{temporary.relative_to(common.parent.parent)}"
    assert len(below_home) + len("/pymp-12345678/listener-12345678") < 108
    assert found.home.name.startswith("my-proje-")
    assert found.folder.parent == found.home


def test_folders_differ_by_repository_and_by_run(common: Path, tmp_path: Path) -> None:
    state = {VARIABLE: str(tmp_path / "s")}
    one = area(common, **state)
    again = area(common, **state)
    other = work_area(state, common, common / "branchline/runs/S")
    copy = tmp_path / "copy" / "my project.x" / ".git"
    elsewhere = work_area(state, copy, copy / "branchline/runs/R")
    assert (one.home, one.folder) == (again.home, again.folder)
    assert one.home == other.home
    assert len({one.folder, other.folder, elsewhere.folder}) == 3
    assert len({one.home, elsewhere.home}) == 2
    places = [one.workspaces, one.checkouts, one.room("t", 1), one.room("t", 2)]
    assert len({*places}) == 4
    assert all(place.is_relative_to(one.folder) for place in places)


@pytest.mark.parametrize("name", ["ä ö", "...", "", "x" * 300, os.fsdecode(b"\xff"), "bare.git"])
def test_a_repository_may_have_any_name(tmp_path: Path, name: str) -> None:
    common = tmp_path / name if name.endswith(".git") else tmp_path / name / ".git"
    found = area(common, **{VARIABLE: str(tmp_path / "s")})
    assert found.home.name.isascii()
    assert len(found.home.name) <= 25


def test_the_variable_decides_then_the_state_folder_then_home(common: Path, tmp_path: Path) -> None:
    named, state, home = str(tmp_path / "named"), str(tmp_path / "state"), str(tmp_path / "home")
    assert area(common, **{VARIABLE: named}, XDG_STATE_HOME=state, HOME=home).home.parent == tmp_path / "named"
    assert area(common, XDG_STATE_HOME=state, HOME=home).home.parent == tmp_path / "state/branchline"
    assert area(common, HOME=home).home.parent == tmp_path / "home/.local/state/branchline"
    assert (tmp_path / "state/branchline").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("home", [{}, {"HOME": "/"}, {"HOME": "relative"}, {"XDG_STATE_HOME": "relative"}])
def test_without_a_home_there_is_a_place_for_all(common: Path, home: dict[str, str]) -> None:
    assert area(common, **home).home.parent == Path(f"/var/tmp/branchline-{os.getuid()}")


def test_nothing_lies_in_the_repository(common: Path) -> None:
    root = common.parent
    found = area(common, root, common, HOME=str(root / "home"))
    assert not found.home.is_relative_to(root)
    assert not (root / "home").exists()
    with pytest.raises(InvalidInput, match="it lies in the repository") as caught:
        area(common, root, common, **{VARIABLE: str(root / "sub")})
    assert caught.value.hint.startswith(f"export {VARIABLE}=")


def test_a_link_into_the_repository_is_no_way_out(common: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(common.parent)
    with pytest.raises(InvalidInput, match="it lies in the repository"):
        area(common, common.parent, **{VARIABLE: str(tmp_path / "link" / "state")})


def test_a_link_to_another_disk_is_followed(common: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("disk")
    assert area(common, **{VARIABLE: str(tmp_path / "link")}).home.parent == tmp_path / "disk"


def test_a_folder_that_others_can_change_is_not_used(common: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s").chmod(0o775)
    with pytest.raises(InvalidInput, match=r"/s: other users can write it\)"):
        area(common, **{VARIABLE: str(tmp_path / "s")})
    (tmp_path / "state" / "branchline").mkdir(parents=True)
    (tmp_path / "state" / "branchline").chmod(0o777)
    assert area(common, XDG_STATE_HOME=str(tmp_path / "state")).home.parent.parent == Path("/var/tmp")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_is_another_users_is_not_used(common: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    if kind == "link":
        (tmp_path / "s").symlink_to("own")
    else:
        (tmp_path / "s").mkdir(mode=0o700)
    os.chown(tmp_path / "s", 65534, 65534, follow_symlinks=False)
    with pytest.raises(InvalidInput, match="it belongs to another user"):
        area(common, **{VARIABLE: str(tmp_path / "s")})


@pytest.mark.parametrize("kind", ["a file", "below a file", "a dangling link"])
def test_what_is_no_folder_is_named(common: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "s"
    place.symlink_to("nowhere") if kind == "a dangling link" else place.touch()
    asked = place / "x" if kind == "below a file" else place
    with pytest.raises(InvalidInput, match=f"no folder for workspaces can be made .{asked}: "):
        area(common, **{VARIABLE: str(asked)})


def test_a_folder_is_of_the_run_that_claimed_it(common: Path, tmp_path: Path) -> None:
    found, runs = area(common, **{VARIABLE: str(tmp_path / "s")}), common / "branchline/runs"
    (runs / "R").mkdir(parents=True)
    assert not is_of(found.folder, runs / "R")
    claim(found, runs / "R")
    claim(found, runs / "R")
    assert is_of(found.folder, runs / "R")
    assert found.folder.stat().st_mode & 0o777 == 0o700

    copied = tmp_path / "copy"
    assert not is_of(found.folder, copied), "the run that was copied is still there"
    moved = (runs / "R").rename(runs / "moved")
    assert is_of(found.folder, moved), "the run was moved with its repository"


def test_what_a_kill_left_of_a_claim_is_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "owner").touch()
    assert not is_of(tmp_path, tmp_path / "R")


def test_a_folder_goes_when_no_work_is_left_in_it(common: Path, tmp_path: Path) -> None:
    found = area(common, **{VARIABLE: str(tmp_path / "s")})
    vacate(found)
    claim(found, tmp_path)
    (found.workspaces / "a").mkdir(parents=True)
    vacate(found)
    assert (found.workspaces / "a").exists()
    assert is_of(found.folder, tmp_path)
    (found.workspaces / "a").rmdir()
    found.checkouts.mkdir()
    vacate(found)
    assert not found.folder.exists()
    assert found.home.exists()
