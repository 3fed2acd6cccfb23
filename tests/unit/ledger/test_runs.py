import json
import os
import subprocess
from pathlib import Path

import pytest

from branchline.errors import InvalidInput
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import find_run, lost_runs, own_runs, run_ids, saved_runs
from strategies import begun


def git(root: Path, *args: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-c", "user.name=u", "-c", "user.email=u", *args], cwd=root, env=env, check=True)


def test_runs_are_listed_by_their_start(tmp_path: Path) -> None:
    assert run_ids(tmp_path) == []
    begun(tmp_path, "B", 1)
    begun(tmp_path, "A", 2)
    begun(tmp_path, "C", 0)
    RunPaths(tmp_path, "EMPTY").make()
    assert run_ids(tmp_path) == ["C", "B", "A"]
    assert find_run(tmp_path, None).run_dir == RunPaths(tmp_path, "A").run_dir


@pytest.mark.parametrize("data", [b"", b"not JSON\n", b"[]\n", b"{}\n", b"\xff\n"])
def test_a_damaged_run_is_still_found(tmp_path: Path, data: bytes) -> None:
    begun(tmp_path, "A", 1)
    begun(tmp_path, "DAMAGED", 2)
    RunPaths(tmp_path, "DAMAGED").ledger.write_bytes(data)
    assert run_ids(tmp_path) == ["DAMAGED", "A"]
    assert find_run(tmp_path, "DAM").run_id == "DAMAGED"


def test_a_run_is_found_by_a_unique_prefix(tmp_path: Path) -> None:
    for number, run_id in enumerate(["01ARX", "01ARZ", "01ARZ2", "mine"]):
        begun(tmp_path, run_id, number)
    assert find_run(tmp_path, "01arx").run_id == "01ARX"
    assert find_run(tmp_path, "01ARZ").run_id == "01ARZ"
    assert find_run(tmp_path, "mi").run_id == "mine"
    with pytest.raises(InvalidInput, match="'01' begins 3 runs: 01ARX, 01ARZ, 01ARZ2") as caught:
        find_run(tmp_path, "01")
    assert caught.value.hint == "branchline list"
    with pytest.raises(InvalidInput, match="there is no run 'X'"):
        find_run(tmp_path, "X")


def test_no_runs_at_all(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there are no runs in") as caught:
        find_run(tmp_path, None)
    assert caught.value.hint == "branchline run --plan FILE"


def test_runs_are_found_by_their_refs(tmp_path: Path) -> None:
    assert saved_runs(tmp_path) == []
    git(tmp_path, "init", "-q")
    who = ("-c", "user.name=u", "-c", "user.email=u@localhost")
    git(tmp_path, *who, "commit", "-q", "--allow-empty", "-m", "one")
    assert saved_runs(tmp_path) == []
    git(tmp_path, "update-ref", "refs/branchline/PACKED/saved/a", "HEAD")
    git(tmp_path, "pack-refs", "--all")
    git(tmp_path, "update-ref", "refs/branchline/LOOSE/saved/a", "HEAD")
    assert saved_runs(tmp_path) == ["LOOSE", "PACKED"]
    begun(tmp_path, "LOOSE", 1)
    assert lost_runs(tmp_path) == ["PACKED"]


def test_what_somebody_else_began_is_listed_and_never_the_latest(tmp_path: Path) -> None:
    begun(tmp_path, "OWN", 1)
    begun(tmp_path, "FOREIGN", 2)
    ledger = RunPaths(tmp_path, "FOREIGN").ledger
    ledger.write_bytes(ledger.read_bytes().replace(b'"seal":"', b'"seal":"0'))
    assert run_ids(tmp_path) == ["OWN", "FOREIGN"]
    assert [one.run_id for one in own_runs(tmp_path)] == ["OWN"]
    assert find_run(tmp_path, None).run_id == "OWN"
    assert find_run(tmp_path, "FOR").run_id == "FOREIGN"


@pytest.mark.parametrize("name", ["a b", "-x", "..x", "é", "x" * 65, "\x1b[31m"])
def test_a_folder_that_no_run_can_have_is_none(tmp_path: Path, name: str) -> None:
    begun(tmp_path, "OWN", 1)
    (tmp_path / ".runs" / name / "logs").mkdir(parents=True)
    (tmp_path / ".runs" / name / "logs" / "run.jsonl").write_text(json.dumps({"timestamp": "2099"}) + "\n")
    assert run_ids(tmp_path) == ["OWN"]


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link to nothing", "a link to itself"])
def test_a_ledger_that_is_no_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    (tmp_path / ".runs/R/logs").mkdir(parents=True)
    ledger = tmp_path / ".runs/R/logs/run.jsonl"
    if kind == "a pipe":
        os.mkfifo(ledger)
    elif kind == "a folder":
        ledger.mkdir()
    else:
        ledger.symlink_to("gone" if "nothing" in kind else "run.jsonl")
    assert run_ids(tmp_path) == []


def test_a_record_of_brackets_is_a_damaged_one(tmp_path: Path) -> None:
    begun(tmp_path, "R", 1)
    RunPaths(tmp_path, "R").ledger.write_bytes(b"[" * 200_000 + b"\n")
    assert run_ids(tmp_path) == ["R"]
    assert own_runs(tmp_path) == []
