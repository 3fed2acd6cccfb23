"""A file's content as plain data in which every value and key knows where it is written, and what is wrong with it."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NamedTuple

from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput
from branchline.views.format.text import printable

MOST_PROBLEMS = 50
LONGEST_PROBLEM = 1_000
MAX_NODES = 50_000
MAX_DEPTH = 64
INT_LIMIT = 2**63
LONGEST_INTEGER = 40
CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = compiled(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
FLOAT = compiled(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
NOT_FINITE = compiled(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Path = Sequence[str | int]


class Place(NamedTuple):
    """Where something is written, counted from 1; line 0 stands for the whole file."""

    line: int
    column: int


class Finding(NamedTuple):
    """Something wrong at a place of a file that the caller knows."""

    place: Place
    message: str
    hint: str = ""

    def told(self, file: str) -> str:
        """The finding in one line of bounded length: a file's words must not command a terminal."""
        where = f"{file}:{self.place.line}:{self.place.column}" if self.place.line else file
        text = f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else "")
        return printable(text if len(text) <= LONGEST_PROBLEM else text[:LONGEST_PROBLEM] + "...")


class InvalidFile(InvalidInput):
    """A file cannot be used; `problems` has all that is wrong with it, in the order of the file."""

    def __init__(self, file: str, findings: Iterable[Finding], *, hint: str = "") -> None:
        self.problems = sorted({*findings})
        lines = [problem.told(file) for problem in self.problems[:MOST_PROBLEMS]]
        if len(self.problems) > MOST_PROBLEMS:
            lines.append(f"and {len(self.problems) - MOST_PROBLEMS} more")
        super().__init__("\n".join(lines), hint=hint)


def suggestion(word: str, known: Sequence[str]) -> str:
    """`did you mean ...?` if a known word is close, else the known words; empty when there is none."""
    close = get_close_matches(word, known, n=1) or [name for name in known if name.lower() == word.lower()]
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + ", ".join(known[:30]) if known else ""


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

    def child(self, key: str) -> "Node":
        """The value under a key; one without anything in it if there is none."""
        return self.children.get(key, NOTHING)

    def items(self, key: str) -> list["Node"]:
        """The elements of the list under a key; none if there is no such list."""
        member = self.child(key)
        return [*member.children.values()] if isinstance(member.data, list) else []

    def text(self, key: str) -> str | None:
        """The text under a key; None if there is no text."""
        data = self.child(key).data
        return data if isinstance(data, str) else None

    def one(self, key: str) -> list[tuple[str, Place]]:
        """The text under a key with its place; nothing if there is no text."""
        text = self.text(key)
        return [] if text is None else [(text, self.children[key].place)]

    def called(self, noun: str) -> str:
        """`task 'a'`, or `this task` where it has no id."""
        name = self.text("id")
        return f"this {noun}" if name is None else f"{noun} '{name}'"

    def texts(self, key: str) -> list[tuple[str, Place]]:
        """The texts of the list under a key, with their places."""
        return [(item.data, item.place) for item in self.items(key) if isinstance(item.data, str)]


NOTHING = Node(None, Place(0, 0))


class Unreadable(Exception):
    """Reading cannot go on past this finding: broken syntax, too many values or levels."""

    def __init__(self, place: Place, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.finding = Finding(place, message, hint)


@dataclass(slots=True)
class Builder:
    """Builds nodes and collects what is wrong with single values, so that one mistake does not hide the next."""

    findings: list[Finding] = field(default_factory=list)

    def scalar(self, value: object, place: Place) -> Node:
        """A leaf. A value that JSON cannot carry is reported and replaced by a harmless one of its type."""
        if isinstance(value, str):
            value = self.text(value, place)
        elif isinstance(value, int) and not -INT_LIMIT <= value < INT_LIMIT:
            self.findings.append(Finding(place, "this integer does not fit into 64 bits"))
            value = 1
        elif isinstance(value, float) and not math.isfinite(value):
            self.findings.append(Finding(place, "this is not a finite number"))
            value = 1.0
        elif not isinstance(value, int | float | None):  # TOML's dates and times
            value = str(value)
        return Node(value, place)

    def text(self, text: str, place: Place) -> str:
        """Text with surrogate pairs joined (JSON writes them as two escapes) and lone ones reported."""
        try:
            return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self.findings.append(Finding(place, "this text has half of a surrogate pair, which is not a character"))
            return text.encode(errors="replace").decode()

    def container(self, items: Mapping[Any, Node], place: Place, keys: Mapping[str, Place] | None = None) -> Node:
        """A mapping, or without `keys` a list. Raises `Unreadable` if it is too large, its aliases written out."""
        data: object = {key: item.data for key, item in items.items()}
        if keys is None:
            data = [item.data for item in items.values()]
        size = 1 + sum(child.size for child in items.values())
        height = 1 + max((child.height for child in items.values()), default=0)
        if size > MAX_NODES:
            raise Unreadable(place, f"this has more than {MAX_NODES:,} values, its aliases written out")
        self.check_depth(height - 1, place)
        return Node(data, place, items, keys or {}, size, height)

    def check_depth(self, depth: int, place: Place) -> None:
        """Raise `Unreadable` if a value at this depth is one too deep."""
        if depth >= MAX_DEPTH:
            raise Unreadable(place, f"this is nested more than {MAX_DEPTH} levels deep")

    def of(self, data: object, place: Place, depth: int = 0) -> Node:
        """A node of Python data (of TOML or JSON), all of it at one place. Raises `Unreadable`."""
        self.check_depth(depth, place)
        if isinstance(data, dict):
            items = {self.text(str(key), place): self.of(value, place, depth + 1) for key, value in data.items()}
            return self.container(items, place, dict.fromkeys(items, place))
        if isinstance(data, list | tuple):
            return self.container(dict(enumerate(self.of(value, place, depth + 1) for value in data)), place)
        return self.scalar(data, place)


def plain_value(text: str) -> object:
    """What an unquoted scalar means in YAML 1.2's core schema: `no`, `1_000` and dates are text."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text, 10 if text[:2] not in ("0o", "0x") else 0) if len(text) <= LONGEST_INTEGER else 1 << 99
    if FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if NOT_FINITE.fullmatch(text) else text
