"""The definitions of a source file, from its syntax tree: where each begins, with the comments before it, and ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from branchline.context.code.analysis import Definition
from branchline.context.code.rules import LEAD, RULES, THROUGH, WRAP, Named, Rule

if TYPE_CHECKING:
    from tree_sitter import Node

MOST = 5000
"""Definitions of one file; what has more was not written by hand."""
_DEEP = 100  # levels that are gone down
_LONGEST = 200  # characters of a name, and of the names that it is in
_TYPES = frozenset(("class", "struct", "interface", "enum", "record", "trait", "impl"))
_OWNERS = _TYPES | {"module"}
_OUTER = frozenset(("namespace",))  # holds definitions and is no part of their names


class Found(NamedTuple):
    """A definition, and its bytes; `top`: the line of the first comment that belongs to it, from 1."""

    definition: Definition
    top: int
    start: int
    stop: int


class _Whole(NamedTuple):
    """The node of a definition with all that wraps it, and the first node of the comments before."""

    node: "Node"
    first: "Node"


@dataclass(slots=True)
class _Level:
    """Nodes side by side and where the walk is. `last`: the row where the node before ended; `lead`: the first comment before it."""

    nodes: "Iterator[Node]"
    parent: str = ""
    kind: str = ""
    whole: _Whole | None = None
    last: int = -1
    lead: "Node | None" = None


def definitions(root: "Node", data: bytes, language: str) -> list[Found]:
    """The definitions below a tree's root, outer ones before inner ones, in the order of the text; about MOST at most.

    Nothing inside of functions is looked at.
    """
    rules = RULES[language]
    levels = [_Level(iter(root.named_children))]
    found: list[Found] = []
    while levels and len(found) < MOST:
        level = levels[-1]
        node = next(level.nodes, None)
        if node is None:
            levels.pop()
            continue
        kind = node.type
        rule = rules.get(kind, THROUGH if kind == "ERROR" else None)
        if rule == LEAD:
            # Let a comment begin what leads the next definition, or go on with it, unless it ends a line of something else.
            row = node.start_point[0]
            if level.lead is None or row > level.last + 1:
                level.lead = node if row > level.last else None
            level.last = _last_row(node)
            continue
        if rule is not None and len(levels) < _DEEP:
            levels.extend(_visited(level, node, rule, data, found))
        level.last, level.lead = node.end_point[0], None
    return found


def _visited(level: _Level, node: "Node", rule: Rule, data: bytes, found: list[Found]) -> "Iterator[_Level]":
    """Note what a node defines; yield where to go on inside of it."""
    if rule == THROUGH:
        yield _Level(iter(node.named_children), level.parent, level.kind, last=level.last, lead=level.lead)
        return
    is_led = level.lead is not None and node.start_point[0] <= level.last + 1
    whole = level.whole or _Whole(node, level.lead or node if is_led else node)
    if rule == WRAP:
        yield _Level(iter(node.named_children), level.parent, level.kind, whole)
        return
    assert not isinstance(rule, str)
    for named in rule(node, data):
        parent = ".".join(filter(None, (level.parent, named.parent)))
        if named.name and len(parent) + len(named.name) <= _LONGEST:
            method = named.kind == "function" and (level.kind in _TYPES or named.parent)
            one = named._replace(kind="method", parent=parent) if method else named._replace(parent=parent)
            found.append(_found(one, whole, data))
            if named.kind in _OWNERS:
                parent = f"{parent}.{named.name}" if parent else named.name
        if named.body is not None and (named.kind in _OWNERS or named.kind in _OUTER):
            row = named.body.start_point[0]
            kind = level.kind if named.kind in _OUTER else named.kind
            yield _Level(iter(named.body.named_children), parent, kind, last=row)


def _found(named: Named, whole: _Whole, data: bytes) -> Found:
    node = whole.node
    line, end = node.start_point[0] + 1, _last_row(node) + 1
    if named.body is not None:
        head = data[node.start_byte : named.body.start_byte].rstrip().split(b"\n")
        while len(head) > 1 and head[-1].lstrip()[:1] in (b"", b"#"):  # comments between it and the body
            head.pop()
        signature_end = line + len(head) - 1
    else:
        signature_end = end if named.kind in ("function", "method") else line
    definition = Definition(named.name, named.kind, line, end, signature_end, named.parent)
    stop = max(node.end_byte, node.start_byte + 1)  # what a parser makes up to go on is empty
    return Found(definition, whole.first.start_point[0] + 1, whole.first.start_byte, stop)


def _last_row(node: "Node") -> int:
    """The last row with something of a node; some nodes end after their line's end."""
    row, column = node.end_point
    return row if column or row == node.start_point[0] else row - 1
