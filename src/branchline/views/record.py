"""What a view needs of a ledger's record: its place, its time and its fact."""

from collections.abc import Sequence
from typing import Protocol

from branchline.core.events import AnyEvent, Healed, IntentReceived, RolledBack, SavedReleased


class Timed(Protocol):
    """A fact with its number and its time, `at`, in Unix milliseconds; `ledger.codec.Record` is one."""

    @property
    def seq(self) -> int:
        """Its number in the ledger, from 0."""

    @property
    def at(self) -> int:
        """When it was written, in Unix milliseconds."""

    @property
    def event(self) -> AnyEvent:
        """What happened."""


def last_at(records: Sequence[Timed]) -> int:
    """When a run was last worked on, in Unix milliseconds; a rollback or a repair comes later, and is none of its time."""
    for record in reversed(records):
        match record.event:
            case RolledBack() | Healed() | SavedReleased() | IntentReceived(kind="rollback"):
                continue
        return record.at
    return records[0].at
