"""A model server on loopback that plays the scripts in the prompts, so that real agents can be driven without a model.

It keeps no state but the faults it has played: the step is the number of tool results in the conversation. See `model/script.py`
for the scripts. `PYTHONPATH=tests python -m real_agents.model_server --port 8999` runs it by hand.
"""

import argparse
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

from real_agents.model.answer import Answer, Call, Conversation, Dialect, Usage
from real_agents.model.anthropic import Messages
from real_agents.model.gemini import GenerateContent
from real_agents.model.openai import ChatCompletions, Responses
from real_agents.model.script import BadScript, Script, Step, script_in
from real_agents.model.tools import said

DIALECTS: dict[str, Dialect] = {
    "/messages": Messages(),
    "/chat/completions": ChatCompletions(),
    "/responses": Responses(),
    ":generateContent": GenerateContent(),
    ":streamGenerateContent": GenerateContent(),
}
PIECES = 20  # into how many a slow answer is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that came in: its path, the model it names, the step of the script and the status it was answered with."""

    path: str
    model: str
    step: int
    status: int
    tools: tuple[str, ...]


class ModelServer:
    """Serves while the `with` block runs. `url` has no path; `requests` are those answered so far, in order."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._faults: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), type("Bound", (_Handler,), {"model": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def step(self, played: Script, number: int) -> Step:
        """The step of a script; after its last, and after a fault that has come often enough, a closing word."""
        if number >= len(played.steps):
            return Step()
        step = played.steps[number]
        if step.status is None:
            return step
        fault = msgspec.json.encode((played, number))
        with self._lock:
            self._faults[fault] += 1
            over = step.times and self._faults[fault] > step.times
        if not over:
            return step
        return msgspec.structs.replace(step, status=None)

    def saw(self, request: Request) -> None:
        """Note a request."""
        with self._lock:
            self.requests.append(request)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ModelServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._send(200, {})

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if path.endswith(("/count_tokens", ":countTokens")):
            self._send(200, {"input_tokens": len(body) // 4, "totalTokens": len(body) // 4})
            return
        dialect = next((one for ending, one in DIALECTS.items() if path.endswith(ending)), None)
        if dialect is None:
            self._send(404, {"error": {"message": f"no such path: {path}"}})
            return
        conversation = dialect.conversation(json.loads(body), path)
        # An agent without tools has no results: there its own turns count.
        number = conversation.results if conversation.tools else conversation.turns
        try:
            step = self.model.step(_playable(script_in(conversation.text), conversation), number)
        except BadScript as error:
            step = Step(status=400, message=f"bad script: {error}")
        self.model.saw(
            Request(
                path=path,
                model=conversation.model,
                step=number,
                status=step.status or 200,
                tools=tuple(conversation.tools),
            )
        )
        self._play(dialect, conversation, step)

    def _play(self, dialect: Dialect, conversation: Conversation, step: Step) -> None:
        if step.status is not None:
            after = {} if step.retry_after is None else {"retry-after": str(step.retry_after)}
            self._send(step.status, dialect.error(step.status, step.error, step.message), after)
            return
        answer = _answer(step, conversation)
        try:
            if conversation.stream:
                self._stream(_encoded(dialect, answer), step)
            else:
                self._wait(step.hang)
                self._send(200, dialect.document(answer), cut=step.cut)
        except (BrokenPipeError, ConnectionResetError):  # the agent was killed
            self.close_connection = True

    def _stream(self, events: Iterator[bytes], step: Step) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number, event in enumerate(events):
            if step.cut and number == 2:
                self.wfile.write(event[: len(event) // 2])
                return
            self.wfile.write(event)
            self.wfile.flush()
            self._wait(step.hang if number == 0 else step.slow)

    def _send(self, status: int, document: object, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        data = json.dumps(document).encode()
        self.close_connection = cut
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if cut else data)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _wait(self, seconds: float) -> None:
        if seconds:
            self.model.closing.wait(seconds)


def _playable(played: Script, conversation: Conversation) -> Script:
    """The script without what an agent that has no tools cannot do: it was given the files that it may read."""
    if conversation.tools:
        return played
    return msgspec.structs.replace(played, steps=tuple(step for step in played.steps if step.read is None))


def _answer(step: Step, conversation: Conversation) -> Answer:
    words = said(step, conversation)
    call, text = (words, "") if isinstance(words, Call) else (None, words)
    size = -(-len(text) // PIECES) if step.slow or step.cut else len(text)
    return Answer(
        model=conversation.model,
        serial=uuid.uuid4().hex[:24],
        usage=Usage(input=step.usage[0], output=step.usage[1], cached=step.usage[2]),
        pieces=tuple(text[at : at + size] for at in range(0, len(text), size or 1)),
        call=call,
        refused=step.refuse is not None,
    )


def _encoded(dialect: Dialect, answer: Answer) -> Iterator[bytes]:
    for name, data in dialect.events(answer):
        text = data if isinstance(data, str) else json.dumps(data)
        yield (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    with ModelServer(parser.parse_args().port) as server:
        print(server.url, flush=True)
        server.closing.wait()


if __name__ == "__main__":
    main()
