"""Parsers: one wheel a language, imported when the first file of it comes. Without one, or for hostile text, no tree."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from time import perf_counter, thread_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Tree

WHEELS = {
    **{
        one: (f"tree_sitter_{one}", "language")
        for one in ("python", "javascript", "go", "rust", "java", "c", "cpp", "ruby")
    },
    "typescript": ("tree_sitter_typescript", "language_typescript"),
    "tsx": ("tree_sitter_typescript", "language_tsx"),
    "csharp": ("tree_sitter_c_sharp", "language"),
    "php": ("tree_sitter_php", "language_php"),
}
_DEEP = 12  # levels of brackets that pairs are taken off
_UNPAIRED = 2000  # brackets left after that; code that people write leaves some sixty
_ANGLES = b"<" * 200  # in one statement; a parser that tries generics needs quadratic memory for such
_NOT_BRACKETS = bytes(set(range(256)) - set(b"()[]{}"))
_NOT_ANGLES = bytes(set(range(256)) - set(b"<>()[]{};"))
_SMALL = 8192  # bytes; so few take no longer than a second, whatever they are
_SECONDS, _SECONDS_A_BYTE = 0.3, 2e-6  # fifteen times what the slowest of 24,000 files took


def parse(data: bytes, language: str) -> "Tree | None":
    """The syntax tree of UTF-8 text; None without a working grammar, or when it cannot be parsed in bounded time.

    The bound in seconds is for hostile text only: it is the one thing here that depends on the machine.
    """
    found = grammar(language)
    if found is None or _tangled(data):
        return None
    from tree_sitter import Parser

    if len(data) <= _SMALL:
        return Parser(found).parse(data)
    view, parts = memoryview(data), list[memoryview]()
    seconds = _SECONDS + len(data) * _SECONDS_A_BYTE
    wall, cpu = perf_counter() + seconds, thread_time() + seconds

    def is_late(_offset: int, _has_error: bool) -> bool:
        return perf_counter() > wall and thread_time() > cpu  # the wall clock costs a fifth of the other to ask

    def read(offset: int, _point: object) -> memoryview:
        parts.append(view[offset:])
        return parts[-1]

    try:  # only what is read by a callback can be stopped
        return Parser(found).parse(read, progress_callback=is_late)
    except ValueError:  # it was stopped
        return None
    finally:
        for part in parts:  # py-tree-sitter (0.26) keeps what the callback returned for ever, and the text with it
            part.release()


@cache
def grammar(language: str) -> "Language | None":
    """The grammar of a language; None if there is none, or its wheel is missing or broken."""
    if language not in WHEELS:
        return None
    package, function = WHEELS[language]
    try:
        make: Callable[[], object] = getattr(import_module(package), function)
        from tree_sitter import Language

        return Language(make())
    except (ImportError, AttributeError, OSError, TypeError, ValueError):  # the last: of another version of tree-sitter
        return None


def _tangled(data: bytes) -> bool:
    """Whether brackets nest so deeply, or so many are open, that parsing would take memory out of all proportion."""
    left = data.translate(None, _NOT_BRACKETS)
    for _ in range(_DEEP):
        if len(left) <= _UNPAIRED:
            break
        left = left.replace(b"()", b"").replace(b"[]", b"").replace(b"{}", b"")
    return len(left) > _UNPAIRED or _ANGLES in data.translate(None, _NOT_ANGLES)
