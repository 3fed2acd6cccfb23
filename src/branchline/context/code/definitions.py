"""The definitions of a source file: where each begins, with the comments before it, and ends; by its syntax tree or without."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from branchline.context.code.analysis import Definition
from branchline.context.code.languages import by_word
from branchline.context.code.rules import LEAD, RULES, THROUGH, WRAP, Named, Rule
from branchline.core.rules.linear import compiled

if TYPE_CHECKING:
    from tree_sitter import Node

MOST = 5000
"""Definitions of one file; what has more was not written by hand."""
_DEEP = 100  # levels that are gone down
_LONGEST = 200  # characters of a name, and of the names that it is in
_TYPES = frozenset(("class", "struct", "interface", "enum", "record", "trait", "impl"))
_OWNERS = _TYPES | {"module"}  # a namespace holds definitions too, and is no part of their names
_OWNERS_TOLD = 4  # owners that are told
_LONGEST_SKETCHED = 100  # characters of a name
_GENERAL = rb"""^([ \t]*+)(?:@[\w.]+(?:\([^)\n]*\))?[ \t]+)*
    (?:(?:export|default|public|private|protected|internal|fileprivate|open|override|abstract|final|sealed|data|inline
    |suspend|static|async|case|implicit|lazy|local|pub|virtual|mutating|operator|infix|companion|value|annotation|inner
    |extern|declare|partial|enum|cdef|cpdef|recursive|pure|elemental|global|create(?:[ \t]+or[ \t]+replace)?)[ \t]+)*
    (class|interface|object|trait|struct|enum|protocol|extension|actor|record|module|namespace|contract|library|message
    |service|fun|func|function|fn|def|defp|defmodule|defprotocol|defmacro|sub|subroutine|procedure|proc|rpc|macro
    |predicate|type|typealias|cpdef|cdef|view|table|trigger|method|constructor|init)[ \t]+
    (?:if[ \t]+not[ \t]+exists[ \t]+)?(?:<[^>\n]*>[ \t]*)?["`]?([A-Za-z_][\w.:$?!-]*)"""
_SHELL = rb"^([ \t]*)(function[ \t]+|(?=[\w.:-]+[ \t]*\([ \t]*\)))([A-Za-z_][\w.:-]*)"
_LISP = rb"^([ \t]*)\((def\w*|define(?:-\w+)*)[ \t]+\(?([^\s()\[\]{}\"';]+)"
_PYTHON = rb"^([ \t]*)(?:@(?:[^\n]*\n)(?:(?!\1(?:async|def|class)[ \t])[^\n]*\n){0,30}\1)?(?:async[ \t]+)?(class|def)[ \t]+(\w+)"
_ASSIGNED = rb"^([ \t]*)()([A-Za-z_][\w.$]*)[ \t]*(?:<-|=)[ \t]*(?:function\b|\([^()\n]*\)[ \t]*[-=]>)"
_PATTERNS = {
    "python": (_PYTHON,),
    **dict.fromkeys(("shell", "batch"), (_SHELL,)),
    **dict.fromkeys(("lisp", "clojure"), (_LISP,)),
    **dict.fromkeys(("r", "lua", "coffeescript"), (_GENERAL, _ASSIGNED)),
}
_FLAGS = (re.MULTILINE | re.VERBOSE | re.IGNORECASE, re.MULTILINE)
_KINDS = by_word(
    """class: class object extension actor contract service; interface: interface protocol defprotocol
    module: module namespace library defmodule; type: type typealias message table view
    struct: struct; enum: enum; trait: trait; record: record"""
)


class Found(NamedTuple):
    """A definition, and its bytes; `top`: the line of the first comment that belongs to it, from 1."""

    definition: Definition
    top: int
    start: int
    stop: int


@dataclass(slots=True)
class _Level:
    """Nodes side by side and where the walk is. `last`: the row where the node before ended; `lead`: the first comment before it.

    `whole`: what wraps the nodes, and the first comment before that.
    """

    nodes: "Iterator[Node]"
    parent: str = ""
    kind: str = ""
    whole: "tuple[Node, Node] | None" = None
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
    whole = level.whole or (node, level.lead or node if is_led else node)
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
        if named.body is not None and (named.kind in _OWNERS or named.kind == "namespace"):
            row = named.body.start_point[0]
            kind = level.kind if named.kind == "namespace" else named.kind
            yield _Level(iter(named.body.named_children), parent, kind, last=row)


def _found(named: Named, whole: "tuple[Node, Node]", data: bytes) -> Found:
    node, first = whole
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
    return Found(definition, first.start_point[0] + 1, first.start_byte, stop)


def _last_row(node: "Node") -> int:
    """The last row with something of a node; some nodes end after their line's end."""
    row, column = node.end_point
    return row if column or row == node.start_point[0] else row - 1


class _Start(NamedTuple):
    """Where a definition begins and where its name is, lines from 1; its indentation, its name (maybe dotted), its kind."""

    line: int
    start: int
    named: int
    indent: int
    name: str
    kind: str


def sketched(data: bytes, language: str) -> list[Found]:
    """What a program without a grammar seems to define, outer definitions before inner ones; at most MOST.

    A definition goes on until the next one that is not indented more.
    """
    starts = sorted(_starts(data, language))[:MOST]
    lines = data.count(b"\n") + (not data.endswith(b"\n"))
    parents, ends = [""] * len(starts), [(lines, len(data))] * len(starts)
    around: list[int] = []
    for place, one in enumerate(starts):
        while around and starts[around[-1]].indent >= one.indent:
            ends[around.pop()] = (max(one.line - 1, 1), one.start)
        owners = [starts[outer].name for outer in around[-_OWNERS_TOLD:] if starts[outer].kind != "function"]
        parents[place] = ".".join(owners)
        around.append(place)
    return [_sketch(one, parent, *end) for one, parent, end in zip(starts, parents, ends, strict=True)]


def _starts(data: bytes, language: str) -> Iterator[_Start]:
    for pattern in _PATTERNS.get(language, (_GENERAL,)):
        line, counted = 1, 0
        for match in compiled(pattern, _FLAGS[language == "python"]).finditer(data):
            line += data.count(b"\n", counted, match.start())
            counted = match.start()
            indent = len(match[1].expandtabs())
            word = match[2].decode().strip().lower()
            name = match[3].decode("utf-8", "replace").strip(".:-")
            named = line + match[0].count(b"\n")
            yield _Start(line, match.start(), named, indent, name[-_LONGEST_SKETCHED:], _KINDS.get(word, "function"))


def _sketch(one: _Start, parent: str, end: int, stop: int) -> Found:
    owner, _, name = one.name.replace("::", ".").replace(":", ".").rpartition(".")
    parent = ".".join(filter(None, (parent, owner)))
    kind = "method" if one.kind == "function" and parent else one.kind
    return Found(Definition(name, kind, one.line, max(end, one.named), one.named, parent), one.line, one.start, stop)
