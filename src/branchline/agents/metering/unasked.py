"""Keeps from an agent what only we have asked for: the event of a chat's stream that tells its usage."""

import re

import msgspec

from branchline.agents.metering.counting import LONGEST, NO_JSON

BETWEEN = re.compile(rb"(\r?\n\r?\n)")


class _Chunk(msgspec.Struct):
    choices: tuple[msgspec.Raw, ...] | None = None
    usage: dict[str, msgspec.Raw] | None = None


class Unasked:
    """Takes a stream's pieces and gives what the agent may see of them, whole events at a time.

    An event without choices is one that an agent that asked for no usage has never met, and may stumble over.
    """

    def __init__(self) -> None:
        self._rest = b""

    def rid(self, piece: bytes) -> bytes:
        """What can be passed on after this piece; maybe nothing yet."""
        *parts, self._rest = BETWEEN.split(self._rest + piece)
        events = zip(parts[::2], parts[1::2], strict=True)
        passed = b"".join(event + end for event, end in events if not _only_usage(event))
        if len(self._rest) > LONGEST:
            passed, self._rest = passed + self._rest, b""
        return passed

    def end(self) -> bytes:
        """What is left when the stream has ended."""
        return self._rest


def _only_usage(event: bytes) -> bool:
    try:
        chunk = msgspec.json.decode(event.removeprefix(b"data:"), type=_Chunk)
    except NO_JSON:
        return False
    return chunk.choices == () and chunk.usage is not None
