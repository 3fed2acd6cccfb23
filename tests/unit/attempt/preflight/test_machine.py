import errno
import fcntl
import os
from pathlib import Path

import pytest

from branchline.attempt.preflight.machine import Disk, observed, of_disks, of_environment, of_room
from branchline.attempt.preflight.remark import Remark, commands

GOOD = Disk(Path("/work"), free_mb=10_000)


def test_good_disks_say_nothing() -> None:
    assert list(of_disks(GOOD, GOOD)) == []


def test_a_full_disk_stops_a_run_and_names_the_place() -> None:
    record, work = of_disks(Disk(Path("/r"), free_mb=3), Disk(Path("/w"), free_mb=199))
    assert (record.text, record.stops, record.command) == ("only 3 MB are free on the disk of /r", True, "")
    assert (work.stops, work.command) == (True, "export BRANCHLINE_STATE=FOLDER")


def test_a_record_without_locks_stops_and_a_work_area_without_exec_is_worth_a_word() -> None:
    (locks,) = of_disks(Disk(Path("/r"), 10_000, locks=False), GOOD)
    assert locks.stops
    (noexec,) = of_disks(GOOD, Disk(Path("/w"), 10_000, executable=False))
    assert not noexec.stops
    assert "noexec" in noexec.text


def test_a_place_is_observed_although_it_is_not_there_yet(tmp_path: Path) -> None:
    seen = observed(tmp_path / "a" / "b")
    assert seen.folder == tmp_path / "a" / "b"
    assert seen.free_mb > 0
    assert seen.executable is not bool(os.statvfs(tmp_path).f_flag & os.ST_NOEXEC)


def test_locks_are_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "HEAD").write_text("x")
    assert observed(tmp_path, lock=tmp_path / "HEAD").locks
    with (tmp_path / "HEAD").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert observed(tmp_path, lock=tmp_path / "HEAD").locks, "a lock that another holds proves that there are locks"

    def no_locks(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert not observed(tmp_path, lock=tmp_path / "HEAD").locks


def test_a_work_area_that_is_too_long_for_the_sockets_of_others() -> None:
    (one,) = of_room(Path("/s/" + "x" * 70))
    assert (one.subject, one.stops) == ("work area", False)
    assert list(of_room(Path("/s/r/1"))) == []


def test_variables_that_are_kept_back_and_the_line_that_hands_them_on() -> None:
    environ = {"HTTPS_PROXY": "x", "JAVA_HOME": "/j", "PATH": "/bin", "SSL_CERT_FILE": "/c", "NO_PROXY": ""}
    (one,) = of_environment(environ, ("JAVA_HOME", "KEY"))
    assert one.text.endswith(": HTTPS_PROXY")
    assert one.command.startswith("env: [JAVA_HOME, KEY, HTTPS_PROXY]")
    assert list(of_environment(environ, ("JAVA_HOME", "HTTPS_PROXY"))) == []


def test_a_remark_with_its_command_and_the_commands_of_several() -> None:
    first, second = Remark("a", "this is so", "type it"), Remark("b", "that is so")
    assert (str(first), str(second)) == ("this is so: type it", "that is so")
    assert commands([first, second, first, Remark("c", "x", "other")]) == "type it\nother"
