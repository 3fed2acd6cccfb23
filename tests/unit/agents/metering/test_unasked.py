from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.metering.counting import LONGEST
from branchline.agents.metering.unasked import Unasked
from unit.agents.metering.provider import chat, event_bytes


def shown(pieces: list[bytes]) -> bytes:
    unasked = Unasked()
    return b"".join([*map(unasked.rid, pieces), unasked.end()])


@given(st.sets(st.integers(0, 400), max_size=30), st.booleans())
def test_the_usage_goes_and_nothing_else(cuts: set[int], folded: bool) -> None:
    events = [b": comment\n\n", *map(event_bytes, chat())]
    newline = b"\r\n" if folded else b"\n"
    body, expected = (b"".join(some).replace(b"\n", newline) for some in (events, [*events[:2], *events[3:]]))
    at = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    assert shown([body[start:end] for start, end in pairwise(at)]) == expected


def test_what_looks_like_it_stays() -> None:
    stays = [
        b'data: {"choices": [], "usage": null}\n\n',
        b'data: {"choices": [], "prompt_filter_results": []}\n\n',
        b'data: {"choices": [{}], "usage": {"prompt_tokens": 1}}\n\n',
        b'data: {"usage": {"prompt_tokens": 1}}\n\n',
        b'data: {"choices": [], "usage": 1}\n\n',
        b'data: {"choices": [], "usage": {}',
    ]
    assert shown(stays) == b"".join(stays)


def test_an_endless_event_is_not_kept() -> None:
    unasked = Unasked()
    piece = b"x" * (1 << 20)
    passed = sum(len(unasked.rid(piece)) for _ in range(20))
    assert passed + len(unasked.end()) == 20 << 20
    assert len(unasked.end()) <= LONGEST
