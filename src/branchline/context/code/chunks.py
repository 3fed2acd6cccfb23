"""A file cut into chunks: one a definition, what is between them, windows of what is too large or has no definitions."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from branchline.context.code.analysis import Chunk
from branchline.context.code.definitions import Found

BYTES_A_TOKEN = 4  # to size windows only
_LARGE = frozenset(
    ["function", "method", "class", "struct", "interface", "enum", "record", "trait", "impl", "module", "macro"]
)
_LINES, _LINES_OF_OTHERS = 2, 5  # a definition of fewer lines stays with what is around it
_WORDS_ONLY = bytes(byte if chr(byte).isalnum() or byte == 95 else 32 for byte in range(128)) + b" " * 128


class _Cut(NamedTuple):
    """Where a piece begins: its line, from 1, and byte; and the name of what it is a piece of."""

    line: int
    start: int
    name: str


def code_chunks(data: bytes, found: Sequence[Found], tokens: int) -> tuple[Chunk, ...]:
    """Chunks of a program, one after the other; the head of a class is one, and so is what is between its methods.

    `tokens`: of a part of what is too large.
    """
    words, size = data.translate(_WORDS_ONLY), max(tokens, 1) * BYTES_A_TOKEN
    pieces: list[_Cut] = []
    for cut, stop in _spans(_cuts(data, found), len(data)):
        if not pieces or not words[cut.start : stop].isspace():  # else it goes with what is before
            pieces.append(cut)
    parts = [part for cut, stop in _spans(pieces, len(data)) for part in _parts(data, cut, stop, size)]
    return tuple(_chunk(data, words, cut, stop) for cut, stop in _spans(parts, len(data)))


def text_chunks(data: bytes, tokens: int, overlap: int) -> tuple[Chunk, ...]:
    """Windows of whole lines; each begins with the last lines of the one before, unless one line is a window."""
    words, size = data.translate(_WORDS_ONLY), max(tokens, 1) * BYTES_A_TOKEN
    shared, chunks = min(max(overlap, 0) * BYTES_A_TOKEN, size // 2), []
    line, start = 1, 0
    while start < len(data):
        stop = _line_end(data, start + size)
        chunks.append(_chunk(data, words, _Cut(line, start, ""), stop))
        again = data.rfind(b"\n", start, stop - shared) + 1 if stop < len(data) else 0
        following = again if again > start else stop
        line += data.count(b"\n", start, following)
        start = following
    return tuple(chunks)


def _spans(cuts: Sequence[_Cut], end: int) -> Iterator[tuple[_Cut, int]]:
    """Each piece with where it stops."""
    return zip(cuts, [*(cut.start for cut in cuts[1:]), end], strict=False)


def _cuts(data: bytes, found: Iterable[Found]) -> list[_Cut]:
    """Where the text passes from one definition to another, line by line; a line of two belongs to the first."""
    cuts = [_Cut(1, 0, "")] if data else []
    around: list[tuple[Found, _Cut]] = []
    for one in found:
        lines = one.definition.end - one.definition.line + 1
        if lines < (_LINES if one.definition.kind in _LARGE else _LINES_OF_OTHERS):
            continue
        _close(data, cuts, around, one.start)
        last, opened = cuts[-1], around and around[-1][1] is cuts[-1]
        line, start = one.top, data.rfind(b"\n", 0, one.start) + 1
        if line < last.line:
            line, start = last.line, last.start
        if one.definition.end >= line and not (opened and line == last.line):
            cut = _Cut(line, start, ".".join(filter(None, (one.definition.parent, one.definition.name))))
            _add(cuts, cut)
            around.append((one, cut))
    _close(data, cuts, around, sys.maxsize)
    return cuts


def _close(data: bytes, cuts: list[_Cut], around: list[tuple[Found, _Cut]], position: int) -> None:
    """Go back to what is around, as far as definitions stop before a byte."""
    while around and around[-1][0].stop <= position:
        ended = around.pop()[0]
        start = _line_end(data, ended.stop)
        if start < len(data):
            _add(cuts, _Cut(ended.definition.end + 1, start, around[-1][1].name if around else ""))


def _add(cuts: list[_Cut], cut: _Cut) -> None:
    if cuts[-1].line == cut.line:
        cuts[-1] = cut
    else:
        cuts.append(cut)


def _parts(data: bytes, cut: _Cut, stop: int, size: int) -> Iterator[_Cut]:
    """A piece as it is, or if it is large in about equal parts of whole lines."""
    count = (stop - cut.start) // size if stop - cut.start > 2 * size else 1
    step = (stop - cut.start) // count
    while cut.start < stop:
        yield cut
        start = _line_end(data, cut.start + step)
        cut = cut._replace(line=cut.line + data.count(b"\n", cut.start, start), start=start)


def _chunk(data: bytes, words: bytes, cut: _Cut, stop: int) -> Chunk:
    counts = Counter(words[cut.start : stop].decode("ascii").split())
    lines = data.count(b"\n", cut.start, stop) + (not data.endswith(b"\n", cut.start, stop))
    return Chunk(cut.name, cut.line, cut.line + lines - 1, counts)


def _line_end(data: bytes, position: int) -> int:
    """Where the line that a byte before a position is in ends, its line end included."""
    return data.find(b"\n", position - 1) + 1 or len(data)
