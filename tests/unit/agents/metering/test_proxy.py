import http.client
import json
import os
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from branchline.agents.metering.proxy import Proxy
from branchline.core.model.agent import Usage
from unit.agents.metering.provider import (
    CALLS,
    EACH,
    KEY,
    KEYS,
    PRICES,
    Talk,
    anthropic,
    ask,
    between,
    connect,
    event_bytes,
    everything,
    provider,
    transcript,
)


@pytest.mark.parametrize("path", CALLS)
def test_every_api_is_counted_and_passed_on_byte_for_byte(tmp_path: Path, path: str) -> None:
    with between(everything, tmp_path) as (proxy, upstream):
        direct = ask(upstream.url, path, CALLS[path], headers=KEYS)
        answer = ask(proxy.endpoint, path, CALLS[path], headers=KEYS)
        usage = proxy.usage
        assert answer.body == direct.body
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert upstream.seen[1].path == path
        assert upstream.seen[1].headers["authorization"] == f"Bearer {KEY}"
    assert usage == Usage(input_tokens=18, output_tokens=7, cached_tokens=5, cost_usd=EACH, cost_source="metered")
    (line,) = transcript(tmp_path)
    assert line["path"] == path.replace(f"&key={KEY}", "")
    assert (line["status"], line["model"], line["cost_usd"], line["ended"]) == (
        200,
        next(iter({"claude-x", "gpt-x", "gemini-x"} & {line["model"]})),
        EACH,
        "",
    )
    assert line["answer_bytes"] >= len(direct.body)


def test_a_chat_that_asks_for_its_usage_gets_it(tmp_path: Path) -> None:
    asked = {**CALLS["/v1/chat/completions"], "stream_options": {"include_usage": True}}
    with between(everything, tmp_path) as (proxy, upstream):
        answer = ask(proxy.endpoint, "/v1/chat/completions", asked)
        assert answer.body == ask(upstream.url, "/v1/chat/completions", asked).body
    assert b'"completion_tokens"' in answer.body


def test_no_key_is_written_anywhere(tmp_path: Path) -> None:
    def echo(talk: Talk) -> None:
        talk.json({"seen": talk.seen.path, "headers": talk.seen.headers}, 401)

    with between(echo, tmp_path) as (proxy, _):
        for path, body in CALLS.items():
            assert KEY in ask(proxy.endpoint, path, body, headers=KEYS).body.decode()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or KEY.encode() not in file.read_bytes()


def test_a_line_a_request_and_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    os.mkfifo(path)  # opening it would block without end
    with between(everything, tmp_path) as (proxy, _):
        for odd in ("/a%0Ab", "/%FF%zz{x}", "//.."):
            ask(proxy.endpoint, odd, method="GET")
        ask(proxy.endpoint, "/v1/models", method="GET")
    lines = [(line["path"], line["status"], line["cost_usd"]) for line in transcript(tmp_path)]
    assert lines == [*((odd, 404, None) for odd in ("/a%0Ab", "/%FF%zz{x}", "//..")), ("/v1/models", 200, None)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_stream_passes_without_waiting(tmp_path: Path) -> None:
    go = threading.Event()

    def slow(talk: Talk) -> None:
        talk.begin_events()
        talk.chunk(b"data: first\n\n")
        assert go.wait(10)
        talk.wfile.write(b"0\r\n\r\n")

    with between(slow, tmp_path) as (proxy, _):
        connection, prefix = connect(proxy.endpoint)
        connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
        response = connection.getresponse()
        assert response.read1(100) == b"data: first\n\n"  # the provider has not gone on
        go.set()
        response.read()
        connection.close()


def test_the_budget_cuts_after_the_answer_that_passes_it(tmp_path: Path) -> None:
    with between(everything, tmp_path, limit_usd=EACH + 1) as (proxy, upstream):
        assert proxy.cut() is None
        body = CALLS["/v1/messages?beta=true"]
        statuses = [ask(proxy.endpoint, "/v1/messages", body).status for _ in range(3)]
        assert proxy.cut() == "budget"
        refused = {path: ask(proxy.endpoint, path, body) for path, body in CALLS.items()}
        assert len(upstream.seen) == 2
        assert proxy.usage.cost_usd == 2 * EACH
    assert statuses == [200, 200, 402]
    assert {answer.status for answer in refused.values()} == {402}
    errors = [answer.json["error"] for answer in refused.values()]
    assert all("the budget of $26 for this attempt is used up" in error["message"] for error in errors)
    assert refused["/v1/messages?beta=true"].json["type"] == "error"


def test_an_unknown_price_is_unknown_and_never_cut(tmp_path: Path) -> None:
    with between(everything, tmp_path, {"claude-x": PRICES["claude-x"]}, limit_usd=1000.0) as (proxy, _):
        for path, body in CALLS.items():
            ask(proxy.endpoint, path, body)
        usage = proxy.usage
        assert (usage.input_tokens, usage.cost_usd, usage.cost_source) == (72, None, "unknown")
        assert proxy.cut() is None


def test_questions_that_cost_nothing(tmp_path: Path) -> None:
    with between(everything, tmp_path) as (proxy, _):
        assert ask(proxy.endpoint, "/v1/models", method="GET").json == {"data": []}
        assert ask(proxy.endpoint, "/", method="HEAD").status == 404
        assert ask(proxy.endpoint, "/v1/messages/count_tokens", {"model": "claude-x"}).status == 404
        assert proxy.usage.cost_usd == 0


def test_a_provider_that_cannot_be_reached(tmp_path: Path) -> None:
    with provider(everything) as upstream:
        url = upstream.url
    with Proxy(url, tmp_path, PRICES) as proxy:
        answer = ask(proxy.endpoint, "/v1/messages", {"model": "claude-x"})
        assert proxy.usage.cost_usd == 0
    assert answer.status == 502
    assert "no connection to the provider: " in answer.json["error"]["message"]
    (line,) = transcript(tmp_path)
    assert (line["status"], "refused" in line["ended"].lower()) == (502, True)


def test_a_provider_that_says_nothing(tmp_path: Path) -> None:
    with between(lambda _: time.sleep(1), tmp_path, silence=0.1) as (proxy, _):
        assert ask(proxy.endpoint, "/v1/messages", {"model": "claude-x"}).status == 504


def test_a_header_that_cannot_be_sent_is_not_quoted(tmp_path: Path) -> None:
    with between(everything, tmp_path) as (proxy, upstream):
        host, _, prefix = proxy.endpoint.removeprefix("http://").partition("/")
        with socket.create_connection(("127.0.0.1", int(host.partition(":")[2])), timeout=5) as connection:
            connection.sendall(f"GET /{prefix}/\x7f HTTP/1.1\r\nx-api-key: {KEY}\r\n\r\n".encode())
            answer = connection.recv(1 << 16)
        assert b"400 Bad Request" in answer
        assert KEY.encode() not in answer
        assert upstream.seen == []


def cut_stream(talk: Talk) -> None:
    talk.begin_events()
    talk.chunk(event_bytes(anthropic()[0]))
    talk.close_connection = True


def test_a_stream_that_breaks_off_is_broken_off_for_the_agent_and_unknown(tmp_path: Path) -> None:
    with between(cut_stream, tmp_path) as (proxy, _):
        with pytest.raises(http.client.IncompleteRead) as caught:
            ask(proxy.endpoint, "/v1/messages", {"model": "claude-x"})
        assert caught.value.partial == event_bytes(anthropic()[0])
        assert proxy.usage.cost_usd is None
    assert "broke off" in transcript(tmp_path)[0]["ended"]


def test_an_agent_that_is_killed_leaves_no_request_behind(tmp_path: Path) -> None:
    def drip(talk: Talk) -> None:
        talk.begin_events()
        for _ in range(1000):
            talk.chunk(event_bytes(anthropic()[1]))
            time.sleep(0.01)

    with between(drip, tmp_path) as (proxy, upstream):
        connection, prefix = connect(proxy.endpoint)
        connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
        connection.getresponse().read1(10)
        connection.sock and connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
        assert upstream.lost.wait(5)
        assert proxy.usage.cost_usd is None
    assert transcript(tmp_path)[0]["ended"] == "the agent closed its connection"


def test_an_agent_that_is_killed_while_its_model_thinks_may_have_to_pay(tmp_path: Path) -> None:
    with between(lambda _: time.sleep(0.5), tmp_path) as (proxy, upstream):
        connection, prefix = connect(proxy.endpoint)
        connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
        while not upstream.seen:
            time.sleep(0.01)
        connection.close()
        assert proxy.usage.cost_usd is None
    assert transcript(tmp_path)[0]["status"] == 0


def test_an_agent_that_leaves_after_the_last_event_is_counted(tmp_path: Path) -> None:
    def lingering(talk: Talk) -> None:
        talk.begin_events()
        for event in anthropic():
            talk.chunk(event_bytes(event))
        time.sleep(0.5)

    with between(lingering, tmp_path) as (proxy, _):
        connection, prefix = connect(proxy.endpoint)
        connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
        response, got = connection.getresponse(), b""
        while b"message_stop" not in got:
            got += response.read1(1000)
        response.close()
        connection.close()
        assert proxy.usage.cost_usd == EACH


def test_only_who_knows_the_token_is_served(tmp_path: Path) -> None:
    with between(everything, tmp_path) as (proxy, upstream):
        base, _, token = proxy.endpoint.rpartition("/")
        for wrong in ("", "/", f"/{token[:-1]}", f"/{token}x", f"/v1/{token}"):
            assert ask(base, f"{wrong}/v1/messages", {"model": "claude-x"}).status == 404
        assert upstream.seen == []
        assert proxy.usage == Usage()
    assert transcript(tmp_path) == []
    with Proxy("http://127.0.0.1:1", tmp_path, PRICES) as other:
        assert other.endpoint.rpartition("/")[2] != token


def test_a_hundred_requests_at_once(tmp_path: Path) -> None:
    together = threading.Barrier(100, timeout=20)

    def all_at_once(talk: Talk) -> None:
        together.wait()
        everything(talk)

    with between(all_at_once, tmp_path) as (proxy, _), ThreadPoolExecutor(100) as pool:
        asked = [list(CALLS.items())[number % 4] for number in range(100)]
        answers = list(pool.map(lambda call: ask(proxy.endpoint, *call), asked))
        assert {answer.status for answer in answers} == {200}
        assert proxy.usage == Usage(
            input_tokens=1800, output_tokens=700, cached_tokens=500, cost_usd=100 * EACH, cost_source="metered"
        )
    assert len(transcript(tmp_path)) == 100


def test_fifty_megabytes_pass_in_bounded_memory(tmp_path: Path) -> None:
    piece = b"x" * (1 << 20)

    def huge(talk: Talk) -> None:
        talk.begin_events()
        talk.chunk(b"data: ")
        for _ in range(50):
            talk.chunk(piece)
        talk.wfile.write(b"0\r\n\r\n")

    with between(huge, tmp_path) as (proxy, _):
        connection, prefix = connect(proxy.endpoint)
        connection.request("POST", f"{prefix}/v1/messages", b'{"model": "claude-x"}')
        response, got = connection.getresponse(), 0
        tracemalloc.start()
        while data := response.read1(1 << 16):
            got += len(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        connection.close()
        assert proxy.usage.cost_usd is None
    assert got == (50 << 20) + 6
    assert peak < 30 << 20


def test_a_large_request_passes_and_a_larger_one_is_refused(tmp_path: Path) -> None:
    with between(everything, tmp_path) as (proxy, upstream):
        body = json.dumps({**CALLS["/v1/chat/completions"], "messages": "ü" * (4 << 20)}).encode()
        assert ask(proxy.endpoint, "/v1/chat/completions", body).status == 200
        assert json.loads(upstream.seen[0].body)["messages"] == "ü" * (4 << 20)
        connection, prefix = connect(proxy.endpoint)
        connection.putrequest("POST", f"{prefix}/v1/chat/completions")
        connection.putheader("content-length", str(65 << 20))
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()
