"""A provider on loopback that says what it is told to, and an agent's side of a conversation."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

from branchline.agents.metering.proxy import Proxy
from branchline.core.model.pricing import Price

Say = Callable[["Talk"], None]
Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """A request as it reached the provider."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Talk(BaseHTTPRequestHandler):
    """One request to the provider."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Provider"

    def say(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen = Seen(self.command, self.path, headers, body)
        self.server.seen.append(self.seen)
        try:
            self.server.say(self)
        except OSError:
            self.server.lost.set()
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = say  # noqa: N815 - what http.server looks for

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def json(self, value: Any, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self.head(status, content_type="application/json", content_length=str(len(data)))
        if self.command != "HEAD":
            self.wfile.write(data)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def events(self, events: list[Any], pause: float = 0) -> None:
        self.begin_events()
        for event in events:
            self.chunk(event_bytes(event))
            time.sleep(pause)
        self.wfile.write(b"0\r\n\r\n")

    def begin_events(self) -> None:
        self.head(200, content_type="text/event-stream; charset=utf-8", transfer_encoding="chunked")

    def reset(self) -> None:
        """Break the connection off in the rudest way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Provider(ThreadingTCPServer):
    """`seen`: the requests so far; `lost` is set when a client has gone while it was being answered."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, say: Say) -> None:
        super().__init__(("127.0.0.1", 0), Talk)
        self.say = say
        self.seen: list[Seen] = []
        self.lost = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def provider(say: Say) -> Iterator[Provider]:
    server = Provider(say)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Answer:
    """What an agent got."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Json:
        made: Json = json.loads(self.body)
        return made


def connect(endpoint: str) -> tuple[HTTPConnection, str]:
    """A connection to an endpoint, and the path to put before all others."""
    host, _, prefix = endpoint.removeprefix("http://").partition("/")
    return HTTPConnection(host, timeout=20), f"/{prefix}"


def ask(
    endpoint: str, path: str, body: Any = None, *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> Answer:
    """Ask as an agent would; raises what http.client raises when the answer breaks off."""
    connection, prefix = connect(endpoint)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method, prefix + path, data, dict(headers or {}))
        response = connection.getresponse()
        got = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, response.read(), got)
    finally:
        connection.close()


def event_bytes(event: Any) -> bytes:
    """An event of a stream: with its type's name if it has one, as OpenAI's and Anthropic's."""
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


def anthropic(model: str = "claude-x", given: int = 10, made: int = 7, *, written: int = 3, read: int = 5) -> list[Any]:
    usage = {
        "input_tokens": given,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": 1,
    }
    return [
        {"type": "message_start", "message": {"model": model, "content": [], "usage": usage}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "“hi”"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": made}},
        {"type": "message_stop"},
    ]


def chat(model: str = "gpt-x", given: int = 18, made: int = 7, cached: int = 5) -> list[Any]:
    usage = {"prompt_tokens": given, "completion_tokens": made, "prompt_tokens_details": {"cached_tokens": cached}}
    return [
        {"model": model, "choices": [{"index": 0, "delta": {"content": "hi"}}], "usage": None},
        {"model": model, "choices": [], "usage": usage},
        "[DONE]",
    ]


def responses(model: str = "gpt-x", given: int = 18, made: int = 7, cached: int = 5) -> list[Any]:
    usage = {"input_tokens": given, "input_tokens_details": {"cached_tokens": cached}, "output_tokens": made}
    return [
        {"type": "response.created", "response": {"model": model, "usage": None}},
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"model": model, "usage": usage}},
    ]


def gemini(model: str = "gemini-x", given: int = 18, made: int = 4, thought: int = 3, cached: int = 5) -> list[Any]:
    usage = {"promptTokenCount": given, "cachedContentTokenCount": cached}
    final = {**usage, "candidatesTokenCount": made, "thoughtsTokenCount": thought}
    return [
        {"candidates": [{"content": {"parts": [{"text": "h"}]}}], "usageMetadata": usage, "modelVersion": model},
        {
            "candidates": [{"content": {"parts": [{"text": "i"}]}, "finishReason": "STOP"}],
            "usageMetadata": final,
            "modelVersion": model,
        },
    ]


PRICES = {name: Price(input=1e6, output=1e6, cached=1e6) for name in ("claude-x", "gpt-x", "gemini-x")}
EACH = 25  # dollars, and tokens, of every answer of `everything`
KEY = "sk-very-secret"
KEYS = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "content-type": "application/json"}
CALLS: dict[str, Json] = {
    "/v1/messages?beta=true": {"model": "claude-x", "stream": True},
    "/v1/chat/completions": {"model": "gpt-x", "stream": True},
    "/v1/responses": {"model": "gpt-x", "stream": True},
    f"/v1beta/models/gemini-x:streamGenerateContent?alt=sse&key={KEY}": {"contents": []},
}


def everything(talk: Talk) -> None:
    """All four APIs, each answer as a stream."""
    path = talk.path.partition("?")[0]
    if path.endswith("/messages"):
        talk.events(anthropic())
    elif path.endswith("/chat/completions"):
        asked = json.loads(talk.seen.body).get("stream_options", {}).get("include_usage")
        talk.events(chat() if asked else [event for event in chat() if not isinstance(event, dict) or event["choices"]])
    elif path.endswith("/responses"):
        talk.events(responses())
    elif "enerateContent" in path:
        talk.events(gemini())
    else:
        talk.json({"data": []}, 200 if path.endswith("/models") else 404)


@contextmanager
def between(
    say: Say, folder: Path, prices: Mapping[str, Price] = PRICES, **options: Any
) -> Iterator[tuple[Proxy, Provider]]:
    with provider(say) as upstream, Proxy(upstream.url, folder, prices, **options) as proxy:
        yield proxy, upstream


def transcript(folder: Path) -> list[Json]:
    return [json.loads(line) for line in (folder / "transcript.jsonl").read_bytes().splitlines()]
