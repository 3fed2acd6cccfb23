from pathlib import Path

import pytest

from branchline.core.graph import Task
from branchline.errors import InvalidInput
from branchline.ledger.log import Ledger
from branchline.ledger.paths import RunPaths, find_run, run_ids
from strategies import started


def begun(root: Path, run_id: str, at: int) -> None:
    paths = RunPaths(root, run_id)
    paths.make()
    ledger = Ledger(paths, epoch=1, clock=lambda: at)
    ledger.append([started(Task(id="t"))])
    ledger.close()


@pytest.mark.parametrize("run_id", ["", "..", ".hidden", "a/b", "a b", "-x", "a\n", "x" * 65])
def test_what_is_not_a_run_id(run_id: str) -> None:
    with pytest.raises(InvalidInput, match="is not a run id"):
        RunPaths(Path(), run_id)


def test_everything_of_a_run_is_below_its_folder(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R")
    assert paths.run_dir == tmp_path / ".runs" / "R"
    assert paths.ledger == paths.run_dir / "logs" / "run.jsonl"
    files = (paths.ledger, paths.head, paths.lock, paths.owner, paths.checkpoints, paths.checkpoint, paths.artifacts)
    rest = (paths.inbox, paths.worktrees, paths.scratch, paths.kept, paths.prompt, paths.attempt("t", 2))
    assert all(path.is_relative_to(paths.run_dir) for path in (*files, *rest))
    assert len({*files, *rest}) == len(files) + len(rest)


def test_runs_stay_out_of_git_status(tmp_path: Path) -> None:
    RunPaths(tmp_path, "R").make()
    ignore = tmp_path / ".runs" / ".gitignore"
    assert ignore.read_text() == "*\n"
    ignore.write_text("mine\n")
    RunPaths(tmp_path, "S").make()
    assert ignore.read_text() == "mine\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / ".runs").write_text("in the way")
    with pytest.raises(InvalidInput, match=r"cannot write .*\.runs") as caught:
        RunPaths(tmp_path, "R").make()
    assert "make" in caught.value.hint


def test_runs_are_listed_by_their_start(tmp_path: Path) -> None:
    assert run_ids(tmp_path) == []
    begun(tmp_path, "B", 1)
    begun(tmp_path, "A", 2)
    begun(tmp_path, "C", 0)
    RunPaths(tmp_path, "EMPTY").make()
    assert run_ids(tmp_path) == ["C", "B", "A"]
    assert find_run(tmp_path, None) == RunPaths(tmp_path, "A")


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


def test_the_same_run_id_elsewhere_has_another_marker(tmp_path: Path) -> None:
    here, there = RunPaths(tmp_path / "a", "R"), RunPaths(tmp_path / "b", "R")
    assert here.marker.startswith("R@")
    assert here.marker == RunPaths(tmp_path / "a", "R").marker != there.marker


def test_what_a_lost_go_at_an_attempt_left_is_kept_beside_the_next(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R")
    paths.set_aside("t", 1)
    assert not paths.attempts.exists()
    for number in (1, 2):
        paths.attempt("t", 1).mkdir(parents=True)
        (paths.attempt("t", 1) / "stdout.log").write_text(f"{number}")
        paths.set_aside("t", 1)
    kept = {folder.name: (folder / "stdout.log").read_text() for folder in paths.attempts.iterdir()}
    assert kept == {"t.1.lost-1": "1", "t.1.lost-2": "2"}


def test_what_is_kept_is_for_its_owner(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "R1")
    assert paths.keep() == paths.keep() == paths.kept
    assert paths.kept.stat().st_mode & 0o777 == 0o700
