import json
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from branchline import run_graph
from branchline.cli import main


def test_the_log_is_a_line_a_record(place: Any) -> None:
    lines = place.call("log").out.splitlines()
    assert "run started: graph of 3 tasks" in lines[0]
    assert "run ended: failed" in lines[-1]
    assert len(lines) == len(place.paths.ledger.read_bytes().splitlines())


def test_with_json_the_lines_are_the_ledger(place: Any) -> None:
    assert place.call("log", "--json").out.encode() == place.paths.ledger.read_bytes()


def test_following_an_ended_run_ends_at_once(place: Any) -> None:
    assert place.call("log", "-f").out == place.call("log").out


def test_following_a_live_run_goes_on_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def slow(run_id: str, task_id: str) -> Mapping[str, Any]:
        time.sleep(0.5)
        return {}

    run = threading.Thread(target=lambda: run_graph([{"id": "slow"}], {"slow": slow}, root=tmp_path))
    run.start()
    until = time.monotonic() + 10
    while not list(tmp_path.glob(".runs/*/logs/run.jsonl")) and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    code = main(["log", "-f", "--json", "--repo", str(tmp_path)])
    run.join()
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert (events[0], events[-1]) == ("run_start", "run_end")


def test_following_a_run_that_nobody_drives_says_so(place: Any) -> None:
    ledger = place.paths.ledger
    whole = ledger.read_bytes()
    ledger.write_bytes(whole[: whole.rstrip(b"\n").rfind(b"\n") + 1])
    place.paths.head.unlink()
    said = place.call("log", "-f")
    assert said.code == 0
    assert said.err == f"nobody drives this run any more; go on with: branchline resume {place.paths.run_id}\n"


def test_a_bad_record_stops_the_log_with_its_place(place: Any) -> None:
    lines = place.paths.ledger.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"RUNNING", b"SKIPPED")
    place.paths.ledger.write_bytes(b"".join(lines))
    said = place.call("log")
    assert said.code == 1
    assert len(said.out.splitlines()) == 2
    assert f"record 2 at byte {len(lines[0]) + len(lines[1])}" in said.err
    assert "hint: branchline verify" in said.err
