"""Patterns: each text is matched in linear time, whoever wrote it. Nothing else compiles one (see banned-api in ruff).

`compiled` is for fixed patterns that Python's `re` matches in linear time; tests/attacks generates worst cases for each.
`linear` is for the others, and for patterns that a configuration brings.
"""

import re
from functools import cache, lru_cache
from typing import Any, AnyStr

MEMORY = 64 << 20  # bytes, at most: with less, RE2 leaves its fast automaton (re2.h, max_mem)


def compiled(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Compile a pattern for `re`, once; `flags` are those of `re`."""
    found: re.Pattern[AnyStr] = _compiled(pattern, flags)
    return found


@lru_cache(maxsize=1024)
def _compiled(pattern: Any, flags: int) -> Any:
    return re.compile(pattern, flags)


@cache
def linear(pattern: str | bytes) -> Any:
    """Compile a pattern at its first use, over text or over bytes. It has the methods of a pattern of `re`.

    RE2 has neither backtracking nor the constructs that need it (https://github.com/google/re2/wiki/WhyRE2), and other
    threads run while it matches. Raises ValueError for what it does not take.
    """
    import re2  # on first use: most commands match nothing

    options = re2.Options()
    if isinstance(pattern, bytes):
        options.encoding = re2.Options.Encoding.LATIN1  # a character is a byte
    options.max_mem = MEMORY
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(error.args[0].decode("utf-8", "replace")) from None
