"""Answers that name the agent's worktree, made to fit another one.

Models name files by absolute paths, and a worktree's path is another in every run. A stream may cut a path into
pieces; then what its events add up to is put into the first of them.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from branchline.agents.metering.counting import LONGEST
from branchline.agents.output.stream import decoded

MARK = b"{{worktree}}"
EVENT = re.compile(rb"^data:([^\r\n]*)", re.MULTILINE)
TEXTS = ("partial_json", "text", "thinking")
OBJECT = msgspec.json.Decoder(dict[str, Any])

Key = tuple[object, ...]
Where = tuple[dict[str, Any], str]
"""An object of an event, and its member that is a piece of a longer text."""


def marked(data: bytes, root: str) -> bytes:
    """A request or an answer with MARK in place of `root`, also where that is cut into pieces; else as it was."""
    if not root or len(data) > LONGEST:
        return data
    # The path must end there: its neighbour /worktrees/ab does not lie in /worktrees/a.
    return re.sub(re.escape(root.encode()) + rb"(?![\w.-])", MARK, _joined(data, root))


def unmarked(data: bytes, root: str) -> bytes:
    """A marked answer for another `root`."""
    return data.replace(MARK, root.encode())


def _joined(data: bytes, root: str) -> bytes:
    """The stream with each text that names `root` whole, in its first event, and nothing of it in the later ones."""
    found = list(EVENT.finditer(data))
    events = [decoded(match[1], OBJECT) or {} for match in found]
    texts: dict[Key, list[tuple[int, Where]]] = {}
    for number, event in enumerate(events):
        for key, where in _pieces(event):
            texts.setdefault(key, []).append((number, where))
    changed = {number for pieces in texts.values() if _join(pieces, root) for number, _ in pieces}
    made, end = bytearray(), 0
    for number in sorted(changed):
        start, stop = found[number].span(1)
        made += data[end:start] + b" " + msgspec.json.encode(events[number])
        end = stop
    return bytes(made + data[end:])


def _join(pieces: list[tuple[int, Where]], root: str) -> bool:
    """Put the whole text into its first piece if it names `root`, and say so."""
    text = "".join(holder[member] for _, (holder, member) in pieces)
    if root not in text:
        return False
    for position, (_, (holder, member)) in enumerate(pieces):
        holder[member] = "" if position else text
    return True


def _pieces(event: dict[str, Any]) -> Iterator[tuple[Key, Where]]:
    """The pieces of longer texts in an event, each with what tells its text from others."""
    delta = event.get("delta")
    if isinstance(delta, str):  # OpenAI responses
        yield (event.get("type"), event.get("output_index"), event.get("content_index")), (event, "delta")
    elif isinstance(delta, dict):  # Anthropic
        yield from _strings((event.get("index"),), delta, TEXTS)
    for choice in _objects(event.get("choices")):  # OpenAI chat
        for said in _objects([choice.get("delta")]):
            yield from _strings((choice.get("index"),), said, ("content",))
            for call in _objects(said.get("tool_calls")):
                for function in _objects([call.get("function")]):
                    yield from _strings((choice.get("index"), call.get("index")), function, ("arguments",))


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _strings(key: Key, holder: dict[str, Any], members: tuple[str, ...]) -> Iterator[tuple[Key, Where]]:
    for member in members:
        if isinstance(holder.get(member), str):
            yield (*key, member), (holder, member)
