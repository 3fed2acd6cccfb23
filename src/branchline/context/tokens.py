"""How many tokens a text costs an agent: an estimate from counts of its bytes, or the count of a real tokenizer."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from branchline.errors import InvalidInput

EXACT = "o200k_base"
SAMPLE = 8192  # bytes; of a longer text evenly spread pieces are looked at, so that no file costs more than these
PIECES = 16


def _table(letter: str = " ", capital: str = " ", digit: str = " ", sign: str = " ", line: str = " ") -> bytes:
    """What each byte becomes; of bytes above 127 and blanks nothing is left."""
    kinds = {**dict.fromkeys(range(97, 123), letter), **dict.fromkeys(range(65, 91), capital)}
    kinds |= {**dict.fromkeys(range(48, 58), digit), 10: line, 13: line}
    return "".join(kinds.get(byte, sign if 32 < byte < 127 else " ") for byte in range(256)).encode()


_WORDS, _HUMPS = _table("a", "a"), _table("a", "A")
_NUMBERS, _SIGNS = _table(digit="0"), _table(sign=".")
_ENDS = _table("a", "a", "0", ".", "\n")
_ASCII = bytes(range(128))


@dataclass(frozen=True, slots=True)
class Counter:
    """Who counts. `name`: "estimate" or the vocabulary; `margin`: the share of a budget to keep back for its errors."""

    name: str
    margin: float
    count: Callable[[str], int]


def counter(exact: bool) -> Counter:
    """The estimate, or the real tokenizer. Raises InvalidInput where that is not installed."""
    if not exact:
        return Counter("estimate", 0.1, estimate)
    try:
        count_all: Callable[..., list[int]] = import_module("toktok").batch_count
    except (ImportError, AttributeError) as error:
        hint = 'pip install "branchline[tokens]"'
        raise InvalidInput("exact token counts need a tokenizer that is not installed", hint=hint) from error

    def count(text: str) -> int:
        valid = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no UTF-8
        return count_all([valid], EXACT, threads=1)[0]

    return Counter(EXACT, 0.02, count)


def estimate(text: str) -> int:
    """About how many tokens a text is; 0 for an empty one only."""
    return estimate_bytes(text.encode("utf-8", "surrogatepass"))


def estimate_bytes(data: bytes) -> int:
    """The same for UTF-8: 3 % off in the median of files and 10 % in one of ten, at most 0.2 ms whatever the size."""
    if not data:
        return 0
    if len(data) <= SAMPLE:
        return max(_thousandths(data) // 1000, 1)
    starts = range(0, len(data) - SAMPLE // PIECES + 1, len(data) // PIECES)
    sample = b"".join(data[start : start + SAMPLE // PIECES] for start in starts)
    return _thousandths(sample) * len(data) // (1000 * len(sample))


def _thousandths(data: bytes) -> int:
    """Thousandths of tokens. The weights are a least-relative-error fit to `o200k_base` on 9,600 files of 20 languages.

    A tokenizer cuts at capitals, digits, signs and line ends. A sign before a word is one with it, as is a line end after
    a sign: `a.b` is two tokens, `);` and its line end one.
    """
    ends = data.translate(_ENDS)
    return (
        48 * len(data)
        + 733 * data.translate(_WORDS).count(b" a")
        + 721 * data.translate(_HUMPS).count(b"aA")
        + 1320 * data.translate(_NUMBERS).count(b" 0")
        + 1157 * data.translate(_SIGNS).count(b" .")
        - 781 * ends.count(b"a.a")
        + 2103 * ends.count(b"a\n")
        + 151 * len(data.translate(None, _ASCII))
    )
