"""What an agent has in its room becomes part of the record, which no agent can change."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from branchline.attempt.agent_call import bring_home, settled


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A room, and the folder of the attempt's record."""
    return tmp_path / "room", tmp_path / "record"


@pytest.mark.parametrize("planted", ["folder", "link", "file"])
def test_a_room_holds_nothing_that_was_put_there(places: tuple[Path, Path], tmp_path: Path, planted: str) -> None:
    room, record = places
    (tmp_path / "target").mkdir()
    if planted == "folder":
        room.mkdir()
        (room / "prompt.md").symlink_to(tmp_path / "target")
    elif planted == "link":
        room.symlink_to(tmp_path / "target")
    else:
        room.touch()
    with settled(room, record):
        assert [*room.iterdir()] == []
        assert not room.is_symlink()
    assert [*(tmp_path / "target").iterdir()] == []


def test_what_is_in_a_room_moves_to_the_record(places: tuple[Path, Path]) -> None:
    room, record = places
    record.mkdir()
    (record / "request.json").write_text("ours")
    with suppress(ZeroDivisionError), settled(room, record):
        (room / "request.json").write_text("forged")
        (room / "home").mkdir()
        (room / "home" / "session").write_text("s")
        os.mkfifo(room / "pipe")
        (room / "link").symlink_to("/etc/passwd")
        raise ZeroDivisionError
    assert (record / "request.json").read_text() == "ours"
    assert (record / "home" / "session").read_text() == "s"
    assert (record / "link").is_symlink()
    assert not os.path.lexists(room)


def test_a_room_that_is_not_there_brings_nothing(places: tuple[Path, Path]) -> None:
    room, record = places
    bring_home(room, record)
    room.symlink_to("nowhere")
    bring_home(room, record)
    assert not os.path.lexists(room)
    assert not record.exists()
