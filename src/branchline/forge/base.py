"""What every code host can do for a run."""

from typing import Protocol

import msgspec


class ChangeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to take `commit`, the tip of `branch`, into `target`. `body` is Markdown."""

    title: str
    body: str
    branch: str
    target: str
    commit: str
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()


class Forge(Protocol):
    """A code host."""

    @property
    def name(self) -> str:
        """Its word in events and configuration, e.g. `local`."""

    def open_request(self, request: ChangeRequest) -> str:
        """Open the request, or bring the one of the same branch up to date; return where it is to be found.

        Doing so twice leaves one request: a resumed run asks again. Raises BranchlineError.
        """
