"""YAML 1.2, and so JSON, to nodes: from the parser's events, bounded. A tag never makes an object."""

from collections.abc import Iterator
from io import StringIO

from ruamel.yaml import YAML
from ruamel.yaml import events as kinds
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from branchline.config.document import MAX_NODES, Builder, Finding, Node, Place, Unreadable, plain_value

CORE_TAGS = {"!!str", "!!int", "!!float", "!!bool", "!!null", "!!map", "!!seq"}
START = Place(1, 1)
LONGEST_TAG = 50_000


def read_yaml(text: str, builder: Builder) -> Node:
    """The one document of a YAML 1.2 text. Single wrong values go to `builder`. Raises `Unreadable`."""
    for word in text.split():
        if len(word) > LONGEST_TAG and "!" in word:  # ruamel.yaml 0.19.1 takes the square of a tag's length
            line = text[: text.index(word)].count("\n") + 1
            raise Unreadable(Place(line, 1), f"a word with a ! in it is longer than {LONGEST_TAG:,} characters")
    reader = _Reader(builder, YAML(typ="safe", pure=True).parse(StringIO(text)))
    try:
        return reader.document()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ": ".join(filter(None, (error.context, error.problem)))
        place = Place(mark.line + 1, mark.column + 1) if mark else Place(0, 0)
        hint = "indent with spaces" if "'\\t'" in message else ""
        raise Unreadable(place, f"this is not YAML: {message}", hint) from error
    except ReaderError as error:
        before = text[: error.position]
        place = Place(before.count("\n") + 1, error.position - before.rfind("\n"))
        raise Unreadable(place, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML") from error
    except (ValueError, OverflowError, AssertionError) as error:
        # ruamel.yaml 0.19.1: an OverflowError at "\UFFFFFFFF", a ValueError at "\U00110000", an AssertionError at %YAML 1.99.
        raise Unreadable(reader.place, f"an escape or directive, here or below, is not YAML: {error}") from error


class _Reader:
    """Takes events by recursive descent. `place`: that of the last event."""

    def __init__(self, builder: Builder, events: Iterator[kinds.Event]) -> None:
        self._builder, self._events, self.place = builder, events, START
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self) -> Node:
        """The one document of the stream. Raises what the parser raises, and `Unreadable`."""
        root = None
        for event in self._events:
            if isinstance(event, kinds.DocumentStartEvent):
                if root is not None:
                    raise Unreadable(self._at(event), "a second document starts here; one file holds one document")
                root = self._node(next(self._events), 0)
        if root is None:
            raise Unreadable(START, "this file is empty")
        return root

    def _node(self, event: kinds.Event, depth: int) -> Node:
        place = self._at(event)
        if isinstance(event, kinds.AliasEvent):
            if event.anchor not in self._anchors:
                raise Unreadable(place, f"the alias *{event.anchor} has no anchor that ends before it")
            made = self._anchors[event.anchor]
        else:
            assert isinstance(event, kinds.ScalarEvent | kinds.CollectionStartEvent)
            tag = event.ctag and f"{event.ctag.handle or ''}{event.ctag.suffix or ''}"
            if tag and tag not in CORE_TAGS:
                self._builder.findings.append(Finding(place, f"the tag {tag[:40]} is not supported"))
            if isinstance(event, kinds.ScalarEvent):
                is_plain = event.implicit[0] if tag is None else tag != "!!str"
                made = self._builder.scalar(plain_value(event.value) if is_plain else event.value, place)
            else:
                self._builder.check_depth(depth, place)
                if isinstance(event, kinds.MappingStartEvent):
                    made = self._mapping(place, depth)
                else:
                    items = (self._node(inner, depth + 1) for inner in self._within())
                    made = self._builder.container(dict(enumerate(items)), place)
            if event.anchor is not None:
                self._anchors[event.anchor] = made
        self._count += 1
        if self._count > MAX_NODES:
            raise Unreadable(place, f"this file has more than {MAX_NODES:,} values")
        return made

    def _mapping(self, place: Place, depth: int) -> Node:
        members: dict[str, Node] = {}
        keys: dict[str, Place] = {}
        for event in self._within():
            key = self._key(event, depth + 1)
            if key in keys:
                message = f"the key '{key}' is written twice; it is already in line {keys[key].line}"
                self._builder.findings.append(Finding(self.place, message))
            keys.setdefault(key, self.place)
            members.setdefault(key, self._node(next(self._events), depth + 1))
        return self._builder.container(members, place, keys)

    def _within(self) -> Iterator[kinds.Event]:
        """The events that begin something in a container, until that ends."""
        while not isinstance(event := next(self._events), kinds.CollectionEndEvent):
            yield event

    def _key(self, event: kinds.Event, depth: int) -> str:
        place = self._at(event)
        if isinstance(event, kinds.ScalarEvent):
            return self._builder.text(event.value, place)
        key = self._node(event, depth).data if isinstance(event, kinds.AliasEvent) else None
        if not isinstance(key, str):
            self._builder.check_depth(depth, place)
            raise Unreadable(place, "a key must be a single word or text, not a list or a mapping")
        return key

    def _at(self, event: kinds.Event) -> Place:
        self.place = Place(event.start_mark.line + 1, event.start_mark.column + 1)
        return self.place
