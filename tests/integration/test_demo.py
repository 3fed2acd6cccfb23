"""The demo comes out as told, and its own check can tell when it does not."""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from branchline.core.model.plan import Plan
from branchline.core.refs import Refs
from branchline.core.states import State
from branchline.core.work import Work, decode, encode
from branchline.demo.story import QUARANTINED, Ending, differences, stage
from branchline.engine.pipeline import Session, start
from branchline.engine.request import pin
from branchline.errors import InvalidInput
from branchline.ledger.runs import find_run


def demo(*args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "branchline", "demo", *args],
        env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def git(root: Path, *args: str) -> str:
    return subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    root = tmp_path_factory.mktemp("demo") / "new"
    return root, demo("--keep", str(root))


def test_the_story_comes_out_as_told(played: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    root, done = played
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "What this has shown" in done.stderr
    paths = find_run(root, None)
    assert git(root, "rev-parse", "main") == git(root, "rev-parse", f"release/{paths.run_id}")
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "symbolic-ref", "--short", "HEAD") == "main"
    suite = subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=root, capture_output=True, check=False)
    assert suite.returncode == 0
    assert (root / "tally" / "lines.py").read_text().startswith('"""Lines."""\n')  # its blanks were taken off
    assert "TALLY" not in (root / "tally" / "heading.py").read_text()
    assert "TALLY" in git(root, "show", f"{Refs(paths.run_id).gate(f'{QUARANTINED}-1')}:tally/heading.py")


def test_what_attempts_were_given_names_no_place_of_the_machine(
    played: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    root, _ = played
    paths = find_run(root, None)
    given = {file.relative_to(paths.attempts): file.read_bytes() for file in paths.attempts.rglob("work.json")}
    for data in given.values():
        assert encode(decode(data, Work)) == data
    steps = Counter(decode(data, Work).task.step for data in given.values())
    assert steps == {"execute": 6, "code_gate": 6, "validate": 5, "merge": 1, "pr_ci": 1}
    places = (root, Path.home(), tempfile.gettempdir(), "/var/tmp")
    assert [name for name, data in given.items() if any(os.fsencode(f"{one}/") in data for one in places)] == []


def test_the_commands_that_it_names_work(played: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    root, done = played
    named = [line.strip() for line in done.stderr.partition("What this has shown")[2].splitlines()]
    commands = [line.split() for line in named if line.startswith(("branchline ", "git "))]
    assert [command[1] for command in commands] == ["show", "show", "diff", "verify"]
    for command in commands:
        argv = [sys.executable, "-m", *command] if command[0] == "branchline" else command
        ran = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False)
        assert (ran.returncode, bool(ran.stdout)) == (0, True), (command, ran.stderr)


def test_it_says_what_differs_from_the_story(tmp_path: Path) -> None:
    run = stage(tmp_path / "demo").run
    one = run.plan.workstreams[-1]
    assert one.id == QUARANTINED
    request = pin(run.repo, run.settings, plan=Plan(version=1, workstreams=(one,)))
    paths, state = request.run.paths, start(request, Session())
    assert state.end is not None
    assert state.end.status == "succeeded"
    (tmp_path / "demo" / "README.md").write_text("changed\n")
    wrong = "\n".join(differences(Ending.of(paths)))
    assert f"workstream {QUARANTINED} is {State.COMPLETED}" in wrong
    assert "the run ended succeeded, not partial" in wrong
    assert "the checkout is not clean" in wrong
    assert "no fixer changed the batch of lines" in wrong


def test_it_does_not_play_in_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine\n")
    with pytest.raises(InvalidInput, match="is not empty"):
        stage(tmp_path)
    assert demo("--keep", str(tmp_path)).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
