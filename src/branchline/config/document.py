"""A file's content as plain data in which every value and key knows where it is written."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from branchline.config.problems import Finding, Place

MAX_NODES = 200_000
MAX_DEPTH = 64
INT_LIMIT = 2**63

Path = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Node:
    """One value. `children` are by key or index, `keys` are the places of a mapping's keys.

    `size` counts the values in it and `height` its levels, both as if every alias were written out.
    """

    data: object
    place: Place
    children: Mapping[str | int, "Node"] = field(default_factory=dict)
    keys: Mapping[str, Place] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def at(self, path: Path) -> "Node":
        """The node at a path, or the deepest one on the way to it."""
        node = self
        for step in path:
            if step not in node.children:
                break
            node = node.children[step]
        return node

    def items(self, key: str) -> Iterator["Node"]:
        """The elements of the list under a key; none if there is no such list."""
        member = self.children.get(key)
        if member is not None and isinstance(member.data, list):
            yield from member.children.values()

    def text(self, key: str) -> str | None:
        """The text under a key; None if there is no text."""
        member = self.children.get(key)
        return member.data if member is not None and isinstance(member.data, str) else None

    def texts(self, key: str) -> Iterator[tuple[str, Place]]:
        """The texts of the list under a key, with their places."""
        for item in self.items(key):
            if isinstance(item.data, str):
                yield item.data, item.place


class Unreadable(Exception):
    """Reading cannot go on past this finding: broken syntax, too many values or levels."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.finding = Finding(place, message, hint)


@dataclass(slots=True)
class Builder:
    """Builds nodes and collects what is wrong with single values, so that one mistake does not hide the next."""

    findings: list[Finding] = field(default_factory=list)

    def report(self, place: Place, message: str, hint: str = "") -> None:
        """Note something wrong."""
        self.findings.append(Finding(place, message, hint))

    def scalar(self, value: object, place: Place) -> Node:
        """A leaf. A value that JSON cannot carry is reported and replaced by a harmless one of its type."""
        match value:
            case str():
                return Node(self.clean_text(value, place), place)
            case bool() | None:
                return Node(value, place)
            case int() if not -INT_LIMIT <= value < INT_LIMIT:
                self.report(place, "this integer does not fit into 64 bits")
                return Node(1, place)
            case float() if not math.isfinite(value):
                self.report(place, "this is not a finite number")
                return Node(1.0, place)
            case int() | float():
                return Node(value, place)
            case _:  # TOML's dates and times
                return Node(str(value), place)

    def clean_text(self, text: str, place: Place) -> str:
        """Text with surrogate pairs joined (JSON writes them as two escapes) and lone ones reported."""
        if text.isascii():
            return text
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.report(place, "this text has half of a surrogate pair, which is not a character")
            return text.encode(errors="replace").decode()

    def sequence(self, items: Sequence[Node], place: Place) -> Node:
        """A list of nodes."""
        return self._container([item.data for item in items], place, dict(enumerate(items)), {})

    def mapping(self, items: Mapping[str | int, Node], place: Place, keys: Mapping[str, Place]) -> Node:
        """A mapping of nodes, with the places of its keys."""
        return self._container({key: item.data for key, item in items.items()}, place, items, keys)

    def _container(
        self, data: object, place: Place, children: Mapping[str | int, Node], keys: Mapping[str, Place]
    ) -> Node:
        size = 1 + sum(child.size for child in children.values())
        height = 1 + max((child.height for child in children.values()), default=0)
        if size > MAX_NODES:
            raise Unreadable(place, f"this has more than {MAX_NODES:,} values, its aliases written out")
        if height > MAX_DEPTH:
            raise Unreadable(place, f"this is nested more than {MAX_DEPTH} levels deep")
        return Node(data, place, children, keys, size, height)

    def of(self, data: object, place: Place, depth: int = 0) -> Node:
        """A node of Python data (of TOML or JSON), all of it at one place. Raises `Unreadable`."""
        if depth >= MAX_DEPTH:
            raise Unreadable(place, f"this is nested more than {MAX_DEPTH} levels deep")
        match data:
            case dict():
                names = {key: self.clean_text(str(key), place) for key in data}
                items: dict[str | int, Node] = {names[key]: self.of(data[key], place, depth + 1) for key in data}
                return self.mapping(items, place, dict.fromkeys(names.values(), place))
            case list() | tuple():
                return self.sequence([self.of(value, place, depth + 1) for value in data], place)
            case _:
                return self.scalar(data, place)
