"""Definitions without a syntax tree: lines that begin like one. Where one ends is told by indentation."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from branchline.context.code.analysis import Definition
from branchline.context.code.definitions import MOST, Found
from branchline.context.code.languages import by_word

_DEEP = 4  # owners that are told
_LONGEST = 100  # characters of a name
_GENERAL = rb"""^([ \t]*)(?:@[\w.]+(?:\([^)\n]*\))?[ \t]+)*
    (?:(?:export|default|public|private|protected|internal|fileprivate|open|override|abstract|final|sealed|data|inline
    |suspend|static|async|case|implicit|lazy|local|pub|virtual|mutating|operator|infix|companion|value|annotation|inner
    |extern|declare|partial|enum|cdef|cpdef|recursive|pure|elemental|global|create(?:[ \t]+or[ \t]+replace)?)[ \t]+)*
    (class|interface|object|trait|struct|enum|protocol|extension|actor|record|module|namespace|contract|library|message
    |service|fun|func|function|fn|def|defp|defmodule|defprotocol|defmacro|sub|subroutine|procedure|proc|rpc|macro
    |predicate|type|typealias|cpdef|cdef|view|table|trigger|method|constructor|init)[ \t]+
    (?:if[ \t]+not[ \t]+exists[ \t]+)?(?:<[^>\n]*>[ \t]*)?["`]?([A-Za-z_][\w.:$?!-]*)"""
_SHELL = rb"^([ \t]*)(function[ \t]+|(?=[\w.:-]+[ \t]*\([ \t]*\)))([A-Za-z_][\w.:-]*)"
_LISP = rb"^([ \t]*)\((def\w*|define(?:-\w+)*)[ \t]+\(?([^\s()\[\]{}\"';]+)"
_PYTHON = rb"^([ \t]*)(?:@(?:[^\n]*\n)(?:(?!\1(?:async|def|class)[ \t])[^\n]*\n){0,99}\1)?(?:async[ \t]+)?(class|def)[ \t]+(\w+)"
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
        owners = [starts[outer].name for outer in around[-_DEEP:] if starts[outer].kind != "function"]
        parents[place] = ".".join(owners)
        around.append(place)
    return [_found(one, parent, *end) for one, parent, end in zip(starts, parents, ends, strict=True)]


def _starts(data: bytes, language: str) -> Iterator[_Start]:
    for pattern in _PATTERNS.get(language, (_GENERAL,)):
        line, counted = 1, 0
        for match in re.finditer(pattern, data, _FLAGS[language == "python"]):
            line += data.count(b"\n", counted, match.start())
            counted = match.start()
            indent = len(match[1].expandtabs())
            word = match[2].decode().strip().lower()
            name = match[3].decode("utf-8", "replace").strip(".:-")
            named = line + match[0].count(b"\n")
            yield _Start(line, match.start(), named, indent, name[-_LONGEST:], _KINDS.get(word, "function"))


def _found(one: _Start, parent: str, end: int, stop: int) -> Found:
    owner, _, name = one.name.replace("::", ".").replace(":", ".").rpartition(".")
    parent = ".".join(filter(None, (parent, owner)))
    kind = "method" if one.kind == "function" and parent else one.kind
    return Found(Definition(name, kind, one.line, max(end, one.named), one.named, parent), one.line, one.start, stop)
