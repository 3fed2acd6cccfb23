"""One line of JSON for each request of an attempt: what was asked and used, never what was said."""

import os
from pathlib import Path

import msgspec

from branchline.errors import BranchlineError


class Exchange(msgspec.Struct, kw_only=True):
    """A line of the transcript; times in milliseconds, `at_ms` since the proxy was opened.

    `status` 0: there was no answer; `ended`: why it is not whole. None is unknown.
    """

    at_ms: int
    method: str
    path: str
    model: str = ""
    status: int = 0
    ended: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    request_bytes: int = 0
    answer_bytes: int = 0
    milliseconds: int = 0


class Transcript:
    """Appends lines to a new file; an earlier one at its path is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)
        # Unbuffered, so that a line is one write, and is there if we are killed.
        self._file = open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115 - closed by `close`

    def write(self, exchange: Exchange) -> None:
        """Append a line. Raises BranchlineError if it cannot be written."""
        try:
            self._file.write(msgspec.json.encode(exchange) + b"\n")
        except OSError as error:
            hint = "make room on the disk"
            raise BranchlineError(f"{self._path} cannot be written: {error.strerror}", hint=hint) from error

    def close(self) -> None:
        """Write no more."""
        self._file.close()
