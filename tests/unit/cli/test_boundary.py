import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from branchline.cli import boundary, main


def test_an_error_of_ours_is_a_sentence_and_a_hint(empty: Any) -> None:
    said = empty.call("status")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: there are no runs in {empty.root / '.runs'}\nhint: branchline run --plan FILE\n"


def test_with_json_the_error_is_an_object_on_stdout_too(empty: Any) -> None:
    said = empty.call("status", "--json")
    error = json.loads(said.out)["error"]
    assert error == {
        "message": f"there are no runs in {empty.root / '.runs'}",
        "hint": "branchline run --plan FILE",
        "exit_code": 2,
    }
    assert said.err.startswith("error: ")


@pytest.mark.parametrize(
    ("args", "hint"),
    [
        (["status", "--nope"], "branchline status --help"),
        (["retry"], "branchline retry --help"),
        (["run"], "branchline run --help"),
        (["--nope"], "branchline --help"),
    ],
)
def test_a_usage_error_exits_2(args: list[str], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"hint: {hint}"


def crash(args: list[str]) -> int:
    return boundary._fault(args, RuntimeError("the impossible"))


def test_a_crash_leaves_a_report_beside_the_runs(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.root)
    monkeypatch.setenv("A_SECRET", "hunter2")
    assert crash(["status", "--json", "two words"]) == 3
    told = capsys.readouterr()
    (report,) = (place.root / ".runs").glob("crash-*.txt")
    text = report.read_text()
    assert str(report) in told.err
    assert "RuntimeError: the impossible" in told.err
    assert "Traceback" not in told.err
    assert json.loads(told.out)["error"]["exit_code"] == 3
    assert "branchline status --json 'two words'" in text
    assert "hunter2" not in text


def test_where_there_are_no_runs_the_report_is_a_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert crash(["status"]) == 3
    report = Path(capsys.readouterr().err.splitlines()[-1].rpartition(" ")[2])
    assert report.is_file()
    assert report.parent != tmp_path
    report.unlink()


def start(place: Any, *args: str, **streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "branchline", *args], cwd=place.root, **streams)  # type: ignore[call-overload, no-any-return]


def test_a_reader_that_goes_away_is_no_error(place: Any) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start(place, "log", stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (141, b"")


def test_ctrl_c_exits_130(place: Any) -> None:
    ledger = place.paths.ledger
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: whole.rstrip(b"\n").rfind(b"\n") + 1])  # not ended, so that following goes on ...
    place.paths.head.unlink()
    import fcntl

    with place.paths.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ... and live
        process = start(place, "log", "-f", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, b"error: interrupted\n")
