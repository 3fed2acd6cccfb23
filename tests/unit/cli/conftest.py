"""A finished run to look at: a plain graph of callables, of which one fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from branchline import run_graph
from branchline.cli import main
from branchline.ledger.paths import RunPaths

RUN_ID = "01HF0000000000000000000000"


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@dataclass
class Place:
    """A folder with runs, and the command line on it, in this process."""

    root: Path
    capture: pytest.CaptureFixture[str]

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.root, RUN_ID)

    def call(self, *args: str) -> Said:
        self.capture.readouterr()
        code = main([*args, "--repo", str(self.root)])
        told = self.capture.readouterr()
        return Said(code, told.out, told.err)


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """A folder without runs."""
    return Place(tmp_path, capsys)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    """A folder with one run: `good` completed, `bad` failed, `after` cancelled."""

    def good(run_id: str, task_id: str) -> Mapping[str, str]:
        return {"answer": "42"}

    def bad(run_id: str, task_id: str) -> None:
        raise ValueError("no such luck")

    tasks: list[Mapping[str, Any]] = [{"id": "good"}, {"id": "bad"}, {"id": "after", "dependencies": ["bad"]}]
    run_graph(
        tasks, {"good": good, "bad": bad}, root=tmp_path, run_id=RUN_ID, retry={"max_attempts": 2, "base_seconds": 0}
    )
    return Place(tmp_path, capsys)
