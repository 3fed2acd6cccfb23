"""Where a run keeps its files: everything under `<root>/.runs/<run_id>/`."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from branchline.errors import InvalidInput

RUNS = ".runs"
RUN_ID = re.compile(r"(?!.*\.\.)(?!.*(\.lock|\.)$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")  # also part of a git ref


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run. `root` holds `.runs`: a repository's top folder, or any folder for a plain graph."""

    root: Path
    run_id: str

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise InvalidInput(f"{self.run_id!r} is not a run id: letters, digits, '_', '.' and '-' only")

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.root / RUNS

    @property
    def run_dir(self) -> Path:
        """The run's own folder."""
        return self.runs / self.run_id

    @property
    def marker(self) -> str:
        """The name that the run's processes carry: its id, and where it is, because ids can be fixed and runs copied."""
        place = hashlib.sha256(os.fsencode(self.run_dir)).hexdigest()[:12]
        return f"{self.run_id}@{place}"

    @property
    def ledger(self) -> Path:
        """The ledger: the truth."""
        return self.run_dir / "logs" / "run.jsonl"

    @property
    def head(self) -> Path:
        """The high-water mark: how far the ledger is known to have come."""
        return self.run_dir / "logs" / "run.head"

    @property
    def lock(self) -> Path:
        """The lease's file; never deleted."""
        return self.run_dir / "run.lock"

    @property
    def owner(self) -> Path:
        """Who holds the lease: for messages only."""
        return self.run_dir / "owner.json"

    @property
    def checkpoints(self) -> Path:
        """One file a completed task."""
        return self.run_dir / "checkpoints"

    @property
    def checkpoint(self) -> Path:
        """The whole run at its last checkpoint."""
        return self.run_dir / "checkpoint.json"

    @property
    def artifacts(self) -> Path:
        """Plan, reports, diffs, requests."""
        return self.run_dir / "artifacts"

    @property
    def inbox(self) -> Path:
        """Intents that people drop for the live run."""
        return self.run_dir / "inbox"

    @property
    def worktrees(self) -> Path:
        """One worktree a workstream."""
        return self.run_dir / "worktrees"

    @property
    def scratch(self) -> Path:
        """Clean checkouts for gates, temporary indexes: nothing here is anybody's work."""
        return self.run_dir / "scratch"

    @property
    def kept(self) -> Path:
        """What agents left that git cannot hold, moved out of worktrees that went."""
        return self.run_dir / "kept"

    def keep(self) -> Path:
        """The folder `kept`, made for its owner's eyes alone: files with secrets come to lie there."""
        self.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.kept

    @property
    def prompt(self) -> Path:
        """What was asked."""
        return self.run_dir / "prompt.md"

    @property
    def attempts(self) -> Path:
        """A folder an attempt."""
        return self.run_dir / "attempts"

    def attempt(self, task_id: str, attempt: int) -> Path:
        """The folder of one attempt's own files."""
        return self.attempts / f"{task_id}.{attempt}"  # one folder, not two: making one costs as much as a sync

    def set_aside(self, task_id: str, attempt: int) -> None:
        """Keep what a lost coordinator's go at an attempt left, beside the folder that the next go uses."""
        folder = self.attempt(task_id, attempt)
        if folder.exists():
            lost = (folder.with_name(f"{folder.name}.lost-{number}") for number in count(1))
            folder.rename(next(path for path in lost if not path.exists()))

    def make(self, *more: Path) -> None:
        """Create the folders that every run needs, and `more`.

        A `.gitignore` of its own keeps `.runs` out of every `git status`. Raises InvalidInput when the place cannot be written.
        """
        try:
            for folder in (self.ledger.parent, self.checkpoints, self.attempts, self.inbox, *more):
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.runs / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        except OSError as error:
            where = error.filename or self.run_dir
            raise InvalidInput(
                f"cannot write {where}: {error.strerror}", hint=f"make {self.root} writable, or choose another --repo"
            ) from error


def run_ids(root: Path) -> list[str]:
    """All runs below a root, the latest started last."""
    return [name for _, name in sorted(_started(root))]


def _started(root: Path) -> Iterator[tuple[str, str]]:
    folder = root / RUNS
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        try:
            with (entry / "logs" / "run.jsonl").open("rb") as file:
                yield str(json.loads(file.readline(1 << 26))["timestamp"]), entry.name
        except (OSError, ValueError, KeyError, TypeError):
            if (entry / "logs" / "run.jsonl").exists():  # damaged, but there: `verify` must be able to name it
                yield "", entry.name


def find_run(root: Path, name: str | None) -> RunPaths:
    """The run of that id or unique prefix; the latest without a name. Raises InvalidInput."""
    known = run_ids(root)
    if not known:
        raise InvalidInput(f"there are no runs in {root / RUNS}", hint="branchline run --plan FILE")
    if name is None:
        return RunPaths(root, known[-1])
    found = [run_id for run_id in known if run_id == name] or [r for r in known if r.startswith(name.upper())]
    found = found or [r for r in known if r.startswith(name)]
    if len(found) == 1:
        return RunPaths(root, found[0])
    problem = f"{name!r} begins {len(found)} runs: {', '.join(found[:5])}" if found else f"there is no run {name!r}"
    raise InvalidInput(problem, hint="branchline list")
