"""Globs over repository paths: `*` and `?` stay within a folder, `**` crosses folders, `[ab]` is a set.

`src/**` matches everything below src; `**/x.py` matches x.py at any depth, also at the top; `docs/` means `docs/**`.
Matching is exact on bytes and case. `matches_folded` is for what must not slip through by case or width: protected paths.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

TOKEN = re.compile(
    r"(?P<deep>(?<![^/])\*\*/)|(?P<all>(?<![^/])\*\*\Z)|(?P<star>\*+)|(?P<one>\?)|(?P<set>\[[!^]?+[\s\S][^\]]*\])"
)


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    if glob.endswith("/"):
        glob += "**"
    pattern, position = "", 0
    for token in TOKEN.finditer(glob):
        pattern += re.escape(glob[position : token.start()])
        position = token.end()
        match token.lastgroup:
            case "deep":
                pattern += r"(?:.*/)?"
            case "all":
                pattern += r".*"
            case "star":
                pattern += r"[^/]*"
            case "one":
                pattern += r"[^/]"
            case _:
                pattern += _set(token.group())
    return re.compile(pattern + re.escape(glob[position:]), re.DOTALL)


def _set(text: str) -> str:
    negated = text[1] in "!^"
    members = re.sub(r"[\\\[\]^&~|]", r"\\\g<0>", text[2 if negated else 1 : -1]).replace("--", r"-\-")
    pattern = f"(?!/)[{'^' if negated else ''}{members}]"
    try:
        re.compile(pattern)
    except re.error:
        return r"(?!)"  # a range that runs backwards holds nothing
    return pattern


def matches(glob: str, path: str) -> bool:
    """Whether the whole path matches the glob."""
    return _compiled(glob).fullmatch(path) is not None


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
