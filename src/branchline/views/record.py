"""What a view needs of a ledger's record: its place, its time and its fact."""

from typing import Protocol

from branchline.core.events import AnyEvent


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
