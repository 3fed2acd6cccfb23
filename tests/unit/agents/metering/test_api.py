import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchline.agents.metering.api import LONGEST, Api, Unasked, error_body, question, without_secrets
from unit.agents.metering.provider import chat, event_bytes

PATHS = [
    ("/v1/messages?beta=true", Api.ANTHROPIC, True),
    ("/v1/messages/count_tokens", Api.ANTHROPIC, False),
    ("/v1/chat/completions", Api.CHAT, True),
    ("/openai/deployments/gpt-x/chat/completions", Api.CHAT, True),
    ("/responses", Api.RESPONSES, True),
    ("/v1beta/models/gemini-x:generateContent", Api.GEMINI, True),
    ("/v1beta/models/gemini-x:streamGenerateContent?alt=sse", Api.GEMINI, True),
    ("/v1beta/models/gemini-x:countTokens", Api.GEMINI, False),
    ("/telemetry", Api.CHAT, False),
]


@pytest.mark.parametrize(("path", "api", "paid"), PATHS)
def test_the_path_tells_the_api_and_what_is_paid_for(path: str, api: Api, paid: bool) -> None:
    asked = question("POST", path, b"{}")
    assert (asked.api, asked.paid) == (api, paid)
    assert not question("GET", path, b"").paid


def test_a_post_that_names_a_model_is_paid_for() -> None:
    assert question("POST", "/v9/think", b'{"model": "m"}').paid


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/v1/messages", b'{"model": "claude-x"}', "claude-x"),
        ("/v1beta/models/gemini-x:generateContent", b"{}", "gemini-x"),
        ("/openai/deployments/gpt-x/chat/completions", b"{}", "gpt-x"),
        ("/v1/messages", b'{"model": 3}', ""),
        ("/v1/messages", b"\x1f\x8b", ""),
        ("/v1/messages", b"[" * 100_000, ""),
        ("/v1/messages", json.dumps({"model": "m" * 10_000}).encode(), "m" * 200),
    ],
)
def test_the_model(path: str, body: bytes, model: str) -> None:
    assert question("POST", path, body).model == model


CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False, "other": 1}])
def test_a_streamed_chat_is_made_to_tell_its_usage(options: dict[str, Any] | None) -> None:
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "“ü😀"}], "n": 1.50}
    given = body if options is None else {**body, "stream_options": options}
    asked = question("POST", CHAT, json.dumps(given).encode())
    sent = json.loads(asked.body)
    assert asked.usage_added
    assert sent == {**body, "stream_options": {**(options or {}), "include_usage": True}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, b'{"model": "m",  "stream": false}'),
        (CHAT, b'{"stream": true, "stream_options":  {"include_usage": true}}'),
        ("/v1/messages", b'{"stream":  true}'),
        ("/v1/responses", b'{"stream":  true}'),
        (CHAT, b'{"stream": true'),
    ],
)
def test_other_bodies_are_sent_on_byte_for_byte(path: str, body: bytes) -> None:
    asked = question("POST", path, body)
    assert (asked.body, asked.usage_added) == (body, False)


def test_secrets_leave_the_path() -> None:
    assert without_secrets("/m:g?alt=sse&key=AIza&$x=1") == "/m:g?alt=sse&$x=1"
    assert without_secrets("/m:g?key=AIza") == "/m:g"
    assert without_secrets("/m:g") == "/m:g"


def test_errors_have_the_providers_form() -> None:
    assert json.loads(error_body(Api.ANTHROPIC, 402, "no")) == {
        "type": "error",
        "error": {"type": "billing_error", "message": "no"},
    }
    assert json.loads(error_body(Api.GEMINI, 404, "no"))["error"] == {
        "code": 404,
        "message": "no",
        "status": "NOT_FOUND_ERROR",
    }
    for api in (Api.CHAT, Api.RESPONSES):
        assert json.loads(error_body(api, 502, "no"))["error"]["type"] == "api_error"


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
