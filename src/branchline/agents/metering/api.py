"""What is asked of a provider: which API it is, for which model, what we add to it, and how that API words an error."""

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from branchline.agents.stream import decoded
from branchline.core.rules.linear import compiled

SECRET_NAME = compiled(r"key|token|secret|sig|auth|pass|cred|cookie", re.IGNORECASE)
FREE = ("/count_tokens", ":countTokens")
MODEL_IN_PATH = compiled(r"/(?:models|deployments)/([^/:]+)")
BETWEEN_EVENTS = compiled(rb"(\r?\n\r?\n)")
LONGEST_NAME = 200
Api = Literal["anthropic", "chat", "responses", "gemini"]
"""The APIs whose answers we can count."""
LONGEST = 8 << 20  # bytes of one event, or of an answer that is no stream; what is longer is not counted


@dataclass(frozen=True, slots=True)
class Question:
    """A request. `path` has its query, without the parameters that may be secret; `body` is what is to be sent on.

    `paid`: an answer to it costs money; `usage_added`: the agent did not ask for the usage, we did.
    """

    method: str
    path: str
    api: Api
    model: str
    body: bytes
    paid: bool
    usage_added: bool


class _Body(msgspec.Struct):
    model: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None


BODY = msgspec.json.Decoder(_Body)


def question(method: str, path: str, body: bytes) -> Question:
    """Read a request. A streamed chat is made to tell its usage, which that API does only on demand."""
    plain = path.partition("?")[0]
    api: Api = "gemini" if compiled(r"/models/[^/]+:\w+$").search(plain) else "chat"
    if compiled(r"/messages(/count_tokens)?$").search(plain):
        api = "anthropic"
    elif plain.endswith("/responses"):
        api = "responses"
    asked = decoded(body, BODY) or _Body()
    in_path = MODEL_IN_PATH.search(plain)
    model = (asked.model or (in_path[1] if in_path else ""))[:LONGEST_NAME]
    known = plain.endswith(("/messages", "completions", "/responses", "enerateContent"))
    paid = method == "POST" and (known or bool(model)) and not plain.endswith(FREE)
    adds = api == "chat" and bool(asked.stream) and not (asked.stream_options or {}).get("include_usage")
    if adds:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        options = {**(asked.stream_options or {}), "include_usage": True}
        body = msgspec.json.encode({**members, "stream_options": options})
    return Question(method, without_secrets(path), api, model, body, paid, adds)


def without_secrets(path: str) -> str:
    """A path whose query has lost each parameter that may be a secret."""
    plain, _, query = path.partition("?")
    kept = [part for part in query.split("&") if not SECRET_NAME.search(part.partition("=")[0])]
    return "?".join(filter(None, (plain, "&".join(kept))))


def error_body(api: Api, status: int, message: str) -> bytes:
    """An error of our own in the API's form, so that an agent reads it as it reads its provider's."""
    kind = {402: "billing_error", 404: "not_found_error", 413: "request_too_large"}.get(status, "api_error")
    if api == "anthropic":
        made: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    elif api == "gemini":
        made = {"error": {"code": status, "message": message, "status": kind.upper()}}
    else:
        made = {"error": {"message": message, "type": kind, "param": None, "code": kind}}
    return json.dumps(made).encode()


class _Chunk(msgspec.Struct):
    choices: tuple[msgspec.Raw, ...] | None = None
    usage: dict[str, msgspec.Raw] | None = None


CHUNK = msgspec.json.Decoder(_Chunk)


class Unasked:
    """Keeps from an agent what only we have asked for: the event of a chat's stream that tells its usage.

    It takes a stream's pieces and gives what the agent may see of them, whole events at a time.

    An event without choices is one that an agent that asked for no usage has never met, and may stumble over.
    """

    def __init__(self) -> None:
        self._rest = b""

    def rid(self, piece: bytes) -> bytes:
        """What can be passed on after this piece; maybe nothing yet."""
        *parts, self._rest = BETWEEN_EVENTS.split(self._rest + piece)
        passed = b""
        for event, end in zip(parts[::2], parts[1::2], strict=True):
            chunk = decoded(event.removeprefix(b"data:"), CHUNK)
            if chunk is None or chunk.choices != () or chunk.usage is None:
                passed += event + end
        if len(self._rest) > LONGEST:
            passed, self._rest = passed + self._rest, b""
        return passed

    def end(self) -> bytes:
        """What is left when the stream has ended."""
        return self._rest
