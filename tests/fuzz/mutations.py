"""Texts made from other texts: parts cut out, repeated many times, put elsewhere, and characters that mean something."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

LARGEST = 40_000  # bytes
TOKENS = [
    b"{", b"}", b"[", b"]", b"(", b")", b'"', b"'", b"\\", b"\n", b"\0", b" ", b"\t", b"*", b"**/", b"?", b"!", b"&a ", b"*a ",
    b"{{", b"}}", b"{{#a}}", b"/*", b"//", b"<!--", b"```", b"-----BEGIN PRIVATE KEY-----", b"eyJ", b"\xff", b"\xed\xa0\x80",
    b"1e999", b"-1", b"99999999999999999999", b"null", b"true", b"NaN", b"\\u0000", b"\\ud800", b"<<: ", b": ", b"- ", b"\r",
    "\u202e".encode(), "\ufeff".encode(), b"\x1b[31m", b"../", b"/", b"a" * 300,
]  # fmt: skip

PLACES = st.floats(0, 1)
CHANGES = st.one_of(
    st.tuples(st.just("cut"), PLACES, PLACES),
    st.tuples(st.just("repeat"), PLACES, st.integers(1, 40), st.sampled_from([2, 50, 3000])),
    st.tuples(
        st.just("put"), PLACES, st.sampled_from(TOKENS) | st.binary(max_size=4), st.sampled_from([1, 1, 3, 3000])
    ),
    st.tuples(st.just("move"), PLACES, st.integers(1, 60), PLACES),
    st.tuples(st.just("set"), PLACES, st.integers(0, 255)),
)


def texts(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Texts like the seeds, and a few of any bytes."""
    changed = st.tuples(st.sampled_from(list(seeds)), st.lists(CHANGES, max_size=6)).map(lambda one: _made(*one))
    return changed | st.binary(max_size=100)


def _made(data: bytes, changes: Sequence[Any]) -> bytes:
    for change in changes:
        at = int(change[1] * len(data))
        match change:
            case ("cut", _, place):
                data = data[: min(at, int(place * len(data)))] + data[max(at, int(place * len(data))) :]
            case ("repeat", _, length, times):
                data = data[:at] + data[at : at + length] * times + data[at + length :]
            case ("put", _, token, times):
                data = data[:at] + token * times + data[at:]
            case ("move", _, length, place):
                part, data = data[at : at + length], data[:at] + data[at + length :]
                to = int(place * len(data))
                data = data[:to] + part + data[to:]
            case ("set", _, byte):
                data = data[:at] + bytes([byte]) + data[at + 1 :]
        data = data[: max(LARGEST, 10**6 if len(data) > 10**5 else 0)]
    return data
