"""Globs over repository paths: `*` and `?` stay within a folder, `**` crosses folders, `[ab]` is a set, within a folder.

`src/**` matches everything below src; `**/x.py` matches x.py at any depth, also at the top; `docs/` means `docs/**`.
A part with a set also matches the name that it is itself, because many repositories have folders such as `[id]`.
Matching is exact on bytes and case. `matches_folded` is for what must not slip through by case or width: protected paths.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from branchline.core.rules.linear import compiled

Segment = re.Pattern[str]

TOKEN = compiled(r"(?P<star>\*+)|(?P<one>\?)|(?P<set>\[[!^]?+[\s\S][^\]]{0,255}\])")
ANYTHING = compiled(r".*", re.DOTALL)


def matches(glob: str, path: str) -> bool:
    """Whether the whole path matches the glob.

    Segment by segment, and what stands between two `**` is taken where it matches first, which no later choice can
    better: the time is at most the product of the two lengths, whatever the glob.
    """
    parts = path.split("/")
    head, *rest = _groups(glob)
    if not rest:
        return len(head) == len(parts) and _at(head, parts, 0)
    *middle, tail = rest
    start, end = len(head), len(parts) - len(tail)
    if start > end or not _at(head, parts, 0) or not _at(tail, parts, end):
        return False
    for group in middle:
        found = next((at for at in range(start, end - len(group) + 1) if _at(group, parts, at)), None)
        if found is None:
            return False
        start = found + len(group)
    return True


def _at(group: Sequence[Segment], parts: Sequence[str], start: int) -> bool:
    return all(segment.fullmatch(parts[start + number]) for number, segment in enumerate(group))


@lru_cache(maxsize=1024)
def _groups(glob: str) -> tuple[tuple[Segment, ...], ...]:
    """The glob's segments, cut at each `**`; one at the end stands for at least one segment."""
    if glob.endswith("/"):
        glob += "**"
    groups: list[list[Segment]] = [[]]
    for text in glob.split("/"):
        if text == "**":
            groups.append([])
        else:
            groups[-1].append(_segment(text))
    if len(groups) > 1 and not groups[-1]:
        groups[-1].append(ANYTHING)
    return tuple(map(tuple, groups))


def _segment(text: str) -> Segment:
    """One segment's pattern. What stands between two stars is matched at once and for good (atomic groups)."""
    pieces, position = [""], 0
    for token in TOKEN.finditer(text):
        pieces[-1] += re.escape(text[position : token.start()])
        position = token.end()
        match token.lastgroup:
            case "star":
                pieces.append("")
            case "one":
                pieces[-1] += "."
            case _:
                pieces[-1] += _set(token.group())
    pieces[-1] += re.escape(text[position:])
    first, *rest = pieces
    pattern = first if not rest else first + "".join(f"(?>.*?{piece})" for piece in rest[:-1]) + ".*" + rest[-1]
    return compiled(f"{pattern}|{re.escape(text)}" if "[" in text else pattern, re.DOTALL)


def _set(text: str) -> str:
    negated = text[1] in "!^"
    members = compiled(r"[\\\[\]^&~|]").sub(r"\\\g<0>", text[2 if negated else 1 : -1]).replace("--", r"-\-")
    pattern = f"[{'^' if negated else ''}{members}]"
    try:
        compiled(pattern)
    except re.error:
        return r"(?!)"  # a range that runs backwards holds nothing
    return pattern


def matches_any(globs: Iterable[str], path: str) -> bool:
    """Whether any of the globs matches the whole path."""
    return any(matches(glob, path) for glob in globs)


def fold(path: str) -> str:
    """A path as a case-insensitive, Unicode-normalising file system would see it."""
    return unicodedata.normalize("NFKC", path).casefold()


def matches_folded(globs: Iterable[str], path: str) -> bool:
    """As `matches_any`, but blind to case and to Unicode's compatible forms: it matches more, never less."""
    folded = fold(path)
    return any(matches(glob, path) or matches(fold(glob), folded) for glob in globs)
