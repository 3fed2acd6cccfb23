"""Patterns for text that we did not write: each text is matched in linear time.

RE2 has neither backtracking nor the constructs that need it (https://github.com/google/re2/wiki/WhyRE2), and other
threads run while it matches.
"""

from functools import cache
from typing import Any

MEMORY = 64 << 20  # bytes, at most: with less, RE2 leaves its fast automaton (re2.h, max_mem)


@cache
def linear(pattern: bytes) -> Any:
    """Compile a pattern over bytes at its first use. It has the methods of a pattern of `re`."""
    import re2  # on first use: most commands match nothing

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # a character is a byte
    options.max_mem = MEMORY
    options.log_errors = False
    return re2.compile(pattern, options)
