"""An answer on its way to an agent, from the provider or from ourselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

EVENT_STREAM = "text/event-stream"
HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "expect", "host", "content-length"),
    }
)
"""Headers that are about one connection, or that we set ourselves."""


class CutOff(ConnectionError):
    """The provider's answer ended before its end."""


class ClientGone(ConnectionError):
    """The agent closed its connection before it had its answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`length`: the bytes of the body, where they are known before; `pieces` raises CutOff if it ends too early."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    length: int | None
    pieces: Iterator[bytes]

    @property
    def content_type(self) -> str:
        """The header's value; empty if there is none."""
        return next((value for name, value in self.headers if name.lower() == "content-type"), "")

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events."""
        return self.content_type.partition(";")[0].strip().lower() == EVENT_STREAM


def passed_on(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that concern the other end too."""
    found = list(headers)
    named = {word.strip().lower() for name, value in found if name.lower() == "connection" for word in value.split(",")}
    return [(name, value) for name, value in found if name.lower() not in HOP_BY_HOP | named]
