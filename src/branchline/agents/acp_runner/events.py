"""What the runner prints: one JSON line an event, the last one `result` or `error`."""

import json
import sys

INSTALL = "pip install agent-client-protocol"


class Failed(Exception):
    """The conversation came to no result: the `kind` of error, what happened, and a code if the agent gave one."""

    def __init__(self, kind: str, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.code = kind, message, code


def emit(event: str, /, **members: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps({"type": event, **members}) + "\n")
    sys.stdout.flush()
