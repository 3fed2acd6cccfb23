"""What people ask of a live run: a file each in the run's inbox, taken in by the coordinator, forgotten when durable."""

import contextlib
import os
import time
from pathlib import Path
from typing import Literal

import msgspec

from branchline.core.ids import ulid
from branchline.errors import LedgerError
from branchline.ledger.paths import RunPaths

POLL_SECONDS = 0.1


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """Something asked of a run, and by whom. `tree`: the one that is approved or rejected."""

    kind: Literal["cancel", "retry", "approve", "reject"]
    by: str
    task_id: str = ""
    tree: str = ""
    reason: str = ""


def drop(paths: RunPaths, intent: Intent) -> Path:
    """Leave an intent for whoever drives the run; the file, which is gone once it is in the ledger."""
    name = ulid(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(10), "big"))
    aside = paths.inbox / f"{name}.tmp"
    aside.write_bytes(msgspec.json.encode(intent))
    return aside.rename(aside.with_suffix(".json"))


class Inbox:
    """The reading side."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths, self._folder = paths, paths.inbox
        self._taken: list[Path] = []
        self._next = 0.0

    def pending(self) -> bool:
        """Whether somebody has asked for something since."""
        return any(self._names())

    def take(self) -> list[Intent]:
        """The intents that came since, in the order of their names. A file that is none is set aside."""
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + POLL_SECONDS
        found = []
        for path in sorted(self._folder / name for name in self._names()):
            if path in self._taken:
                continue
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Intent))
                self._taken.append(path)
            except (msgspec.DecodeError, UnicodeDecodeError, OSError):
                path.rename(path.with_suffix(".bad"))
        return found

    def _names(self) -> list[str]:
        """The intents that lie there. Raises LedgerError if somebody has removed the run's record: nothing can be added to it."""
        with contextlib.suppress(FileNotFoundError):
            if self._paths.ledger.exists():
                return [name for name in os.listdir(self._folder) if name.endswith(".json")]
        run = self._paths.run_id
        text = f"the record of run {run} has been removed while it ran: {self._paths.run_dir}; what it saved has refs in git"
        raise LedgerError(text, hint=f"branchline restore {run}")

    def forget(self) -> None:
        """Remove what was taken: the ledger has it now."""
        for path in self._taken:
            with contextlib.suppress(OSError):
                path.unlink()
        self._taken.clear()
