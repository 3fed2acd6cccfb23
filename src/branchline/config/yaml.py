"""YAML 1.2, and so JSON, to nodes: from the parser's events, without recursion, bounded.

Only the core schema's values are made; a tag never makes an object.
"""

import re
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING

from branchline.config.document import MAX_DEPTH, MAX_NODES, Builder, Node, Unreadable
from branchline.config.problems import Place

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.events import AliasEvent, CollectionStartEvent, Event, ScalarEvent

CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
CORE_TAGS = {"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"}
LONGEST_INTEGER = 40
START = Place(1, 1)
NO_KEY = "a key must be a single word or text, not a list or a mapping"


def plain_value(text: str) -> object:
    """What an unquoted scalar means in YAML 1.2's core schema: `no`, `1_000` and dates are text."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text, 10 if text[:2] not in ("0o", "0x") else 0) if len(text) <= LONGEST_INTEGER else 1 << 99
    if FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if NOT_FINITE.fullmatch(text) else text


@dataclass(slots=True)
class _Open:
    """A container whose end has not come yet; in a mapping, `key` waits for its value."""

    place: Place
    anchor: str | None
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    members: dict[str | int, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    key: tuple[str, Place] | None = None

    @property
    def wants_key(self) -> bool:
        return self.is_mapping and self.key is None


@dataclass(slots=True)
class _Composer:
    """Turns events into one node, with a stack of open containers instead of recursion."""

    builder: Builder = field(default_factory=Builder)
    anchors: dict[str, Node] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    nodes: int = 0
    place: Place = START
    root: Node | None = None

    def feed(self, event: "Event") -> None:
        from ruamel.yaml import events as kinds

        place = self.place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case kinds.ScalarEvent() if self.stack and self.stack[-1].wants_key:
                self._take_key(self.builder.clean_text(event.value, place), place)
            case kinds.ScalarEvent():
                self._take(self._scalar(event, place), event.anchor)
            case kinds.AliasEvent():
                self._take(self._alias(event, place), None)
            case kinds.SequenceStartEvent() | kinds.MappingStartEvent():
                self._open(event, place, is_mapping=isinstance(event, kinds.MappingStartEvent))
            case kinds.SequenceEndEvent() | kinds.MappingEndEvent():
                done = self.stack.pop()
                self._take(self._close(done), done.anchor)
            case kinds.DocumentStartEvent() if self.root is not None:
                raise Unreadable(place, "a second document starts here; one file holds one document")

    def _open(self, event: "CollectionStartEvent", place: Place, *, is_mapping: bool) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise Unreadable(place, f"this is nested more than {MAX_DEPTH} levels deep")
        if self.stack and self.stack[-1].wants_key:
            raise Unreadable(place, NO_KEY)
        self._tag(event, place)
        self.stack.append(_Open(place, event.anchor, is_mapping))

    def _close(self, done: _Open) -> Node:
        if done.is_mapping:
            return self.builder.mapping(done.members, done.place, done.keys)
        return self.builder.sequence(done.items, done.place)

    def _scalar(self, event: "ScalarEvent", place: Place) -> Node:
        tag = self._tag(event, place)
        is_plain = event.implicit[0] if tag is None else tag != "!!str"
        return self.builder.scalar(plain_value(event.value) if is_plain else event.value, place)

    def _tag(self, event: "CollectionStartEvent | ScalarEvent", place: Place) -> str | None:
        """An explicit tag as it is written, reported unless it is one of the core schema's."""
        if event.ctag is None:
            return None
        tag = f"{event.ctag.handle or ''}{event.ctag.suffix or ''}"
        if tag not in CORE_TAGS:
            self.builder.report(place, f"the tag {tag[:40]} is not supported")
        return tag

    def _alias(self, event: "AliasEvent", place: Place) -> Node:
        if event.anchor not in self.anchors:
            raise Unreadable(place, f"the alias *{event.anchor} has no anchor that ends before it")
        return self.anchors[event.anchor]

    def _take_key(self, key: str, place: Place) -> None:
        parent = self.stack[-1]
        if key in parent.keys:
            first = parent.keys[key].line
            self.builder.report(place, f"the key '{key}' is written twice; it is already in line {first}")
        parent.keys.setdefault(key, place)
        parent.key = key, place

    def _take(self, node: Node, anchor: str | None) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise Unreadable(node.place, f"this file has more than {MAX_NODES:,} values")
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if parent.wants_key:  # only an alias comes here: scalars were taken as keys, containers refused
            if not isinstance(node.data, str):
                raise Unreadable(self.place, NO_KEY)
            self._take_key(node.data, self.place)
        elif parent.key is not None:
            parent.members.setdefault(parent.key[0], node)
            parent.key = None
        else:
            parent.items.append(node)


def read_yaml(text: str, builder: Builder) -> Node:
    """The one document of a YAML 1.2 text. Single wrong values go to `builder`. Raises `Unreadable`."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.reader import ReaderError

    composer = _Composer(builder)
    try:
        for event in YAML(typ="safe", pure=True).parse(StringIO(text)):
            composer.feed(event)
    except MarkedYAMLError as error:
        raise _syntax(error) from error
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
        code = ord(text[error.position])
        raise Unreadable(place, f"the character U+{code:04X} is not allowed in YAML") from error
    except (ValueError, OverflowError, AssertionError) as error:  # ruamel's slips on escapes and %YAML lines
        raise Unreadable(composer.place, f"an escape or directive, here or below, is not YAML: {error}") from error
    if composer.root is None:
        raise Unreadable(START, "this file is empty")
    return composer.root


def _syntax(error: "MarkedYAMLError") -> Unreadable:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(0, 0)
    message = ": ".join(part for part in (error.context, error.problem) if part)
    return Unreadable(place, f"this is not YAML: {message}", "indent with spaces" if "'\\t'" in message else "")
