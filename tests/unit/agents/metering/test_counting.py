import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.metering.api import LONGEST
from branchline.agents.metering.counting import Counter
from branchline.core.model.agent import Usage
from unit.agents.metering.provider import anthropic, chat, event_bytes, gemini, responses

EVENTS = "text/event-stream; charset=utf-8"
JSON = "application/json"
STREAMS = {"claude-x": anthropic(), "gpt-x": chat(), "gpt-y": responses("gpt-y"), "gemini-x": gemini()}


def stream(events: list[Any], newline: bytes = b"\n") -> bytes:
    return b"".join(map(event_bytes, events)).replace(b"\n", newline)


def count(data: bytes, content_type: str, *, whole: bool = True) -> tuple[str, Usage]:
    counter = Counter(content_type)
    counter.feed(data)
    return ended(counter, whole=whole)


def ended(counter: Counter, *, whole: bool = True) -> tuple[str, Usage]:
    used = counter.counted(whole=whole)
    return counter.model, used


def expected(model: str) -> tuple[str, Usage]:
    return model, Usage(input_tokens=18, output_tokens=7, cached_tokens=5)


@pytest.mark.parametrize("model", STREAMS)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_every_stream(model: str, newline: bytes) -> None:
    assert count(stream(STREAMS[model], newline), EVENTS) == expected(model)


WHOLE = {
    "claude-x": {
        "type": "message",
        "model": "claude-x",
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 5,
            "output_tokens": 7,
        },
    },
    "gpt-x": {"choices": [{"message": {"content": "hi"}}], **chat()[1]},
    "gpt-y": responses("gpt-y")[2]["response"],
    "gemini-x": gemini()[1],
    "gemini-z": gemini("gemini-z"),  # its stream without `alt=sse`: one array
}


@pytest.mark.parametrize("model", WHOLE)
def test_every_answer_that_is_no_stream(model: str) -> None:
    text = json.dumps(WHOLE[model], indent=2).encode()
    value = {**WHOLE[model], "choices": [{}]} if model == "gpt-x" else WHOLE[model]
    assert count(json.dumps(value).encode(), JSON) == expected(model)
    assert count(text, "") == expected(model)
    assert count(text[:-1], JSON) == ("", Usage())


@given(st.data(), st.sampled_from(sorted(STREAMS)), st.booleans())
def test_any_split_counts_the_same(data: st.DataObject, model: str, folded: bool) -> None:
    body = stream(STREAMS[model], b"\r\n" if folded else b"\n")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(body)), max_size=40)))
    counter = Counter(EVENTS)
    for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
        counter.feed(body[start:end])
    assert counter.complete
    assert ended(counter) == expected(model)


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"data: ", b"\n", b"\n\n", b"{", b'{"usage":', b"[DONE]"])))
def test_any_bytes_are_survived_and_split_alike(pieces: list[bytes]) -> None:
    for kind in (EVENTS, JSON):
        counter = Counter(kind)
        for piece in pieces:
            counter.feed(piece)
        assert ended(counter) == count(b"".join(pieces), kind)


@pytest.mark.parametrize("model", STREAMS)
def test_a_stream_that_breaks_off_is_unknown(model: str) -> None:
    short = stream(STREAMS[model][:-2] if model == "gpt-x" else STREAMS[model][:-1])
    assert count(short, EVENTS, whole=False) == (model, Usage())


def test_an_agent_that_leaves_after_the_last_event_is_known() -> None:
    assert count(stream(anthropic()), EVENTS, whole=False) == expected("claude-x")


def test_a_stream_that_ends_in_an_error_does_not_count_the_first_output_token() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "later"}}
    _, found = count(stream([anthropic()[0], error]), EVENTS)
    assert (found.input_tokens, found.output_tokens) == (18, None)


def test_an_event_of_several_lines_and_comments() -> None:
    lines = json.dumps(chat()[1], indent=1).encode().split(b"\n")
    body = b": comment\nid: 1\n" + b"".join(b"data:" + line + b"\n" for line in lines) + b"\ndata: [DONE]"
    assert count(body, EVENTS) == expected("gpt-x")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"usage": {"prompt_tokens": -1, "completion_tokens": 2}}', JSON),
        (b'{"usage": {"prompt_tokens": "many"}}', JSON),
        (b'{"usage": []}', JSON),
        (b'{"model": 4}', JSON),
        (b'{"choices": []}', JSON),
        (b"[" * 100_000, JSON),
        (b"\x1f\x8b\x08", JSON),
        (json.dumps(WHOLE["gpt-y"]).encode(), "text/html"),
    ],
)
def test_what_is_not_understood_is_unknown(body: bytes, kind: str) -> None:
    assert count(body, kind) == ("", Usage())


def test_a_stream_that_is_not_understood_in_part_is_unknown() -> None:
    odd = event_bytes({"type": "message_delta", "usage": {"output_tokens": "many"}})
    assert count(odd + stream(anthropic()), EVENTS)[1] == Usage()


def test_a_huge_answer_takes_bounded_memory_and_is_unknown() -> None:
    piece = b"x" * (1 << 16)
    for kind, start in ((EVENTS, b"data: "), (JSON, b'{"text": "')):
        tracemalloc.start()
        counter = Counter(kind)
        counter.feed(start)
        for _ in range(50 << 4):
            counter.feed(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * LONGEST
        assert ended(counter) == ("", Usage())


def test_long_streams_of_small_events_are_counted() -> None:
    small = event_bytes({"type": "response.output_text.delta", "delta": "x" * 1000})
    counter = Counter(EVENTS)
    for _ in range(20_000):
        counter.feed(small)
    counter.feed(stream(responses()))
    assert ended(counter) == expected("gpt-x")
