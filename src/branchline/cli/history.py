"""A run as its ledger tells it, found from wherever the user stands."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchline.cli.output import say
from branchline.core.run_state import RunState
from branchline.errors import InvalidInput
from branchline.ledger.codec import Record
from branchline.ledger.lease import is_held
from branchline.ledger.log import read, require
from branchline.ledger.paths import RUNS, RunPaths
from branchline.ledger.runs import find_run
from branchline.ledger.seal import FOREIGN, is_ours, require_ours


@dataclass(frozen=True, slots=True)
class History:
    """A run that verifies. `live`: some process drives it now."""

    paths: RunPaths
    records: tuple[Record, ...]
    state: RunState
    live: bool

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.paths.run_id


def find_root(path: Path) -> Path:
    """The folder that holds `.runs`: the nearest one upwards that has it or is a repository, else the path itself.

    It asks no git, so that looking at a run starts no process.
    """
    here = path.resolve()
    for folder in (here, *here.parents):
        if (folder / RUNS).is_dir() or (folder / ".git").exists():
            return folder
    return here


def load(repo: Path, run: str | None) -> History:
    """The run of that name. Raises InvalidInput if there is none, LedgerError if its ledger does not verify."""
    return history_of(chosen(repo, run))


def chosen(repo: Path, run: str | None) -> RunPaths:
    """The run of that name, and on stderr a warning if it is foreign. Raises InvalidInput if there is none."""
    paths = find_run(find_root(repo), run)
    if not is_ours(paths):
        say(f"run {paths.run_id} is {FOREIGN}, so trust nothing that it says")
    return paths


def user() -> str:
    """Who types, as ledgers name them."""
    return os.environ.get("USER") or "the user"


def ask(paths: RunPaths, kind: str, **more: str) -> Path:
    """Leave an intent for the process that drives the run, or for the next one that takes it up; its file."""
    from branchline.engine.inbox import Intent, drop

    require_ours(paths)
    return drop(paths, msgspec.convert({"kind": kind, "by": user(), **more}, Intent))


def require_pipeline(history: History, lacks: str) -> None:
    """Raise InvalidInput if the run is a plain graph, which `lacks` what the command is about."""
    if history.state.kind != "pipeline":
        raise InvalidInput(f"run {history.run_id} is a plain graph: it {lacks}")


def history_of(paths: RunPaths) -> History:
    """The run with those files. Raises LedgerError."""
    live = is_held(paths)
    reading = read(paths)
    return History(paths, reading.records, require(reading, paths), live)
