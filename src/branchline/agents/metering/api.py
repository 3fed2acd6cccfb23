"""What is asked of a provider: which API it is, for which model, and how that API words an error."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

SECRET_NAME = re.compile(r"key|token|secret|sig|auth|pass|cred|cookie", re.IGNORECASE)
FREE = ("/count_tokens", ":countTokens")
MODEL_IN_PATH = re.compile(r"/(?:models|deployments)/([^/:]+)")
LONGEST_NAME = 200


class Api(StrEnum):
    """The APIs whose answers we can count."""

    ANTHROPIC = "anthropic"
    CHAT = "chat"
    RESPONSES = "responses"
    GEMINI = "gemini"


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


def question(method: str, path: str, body: bytes) -> Question:
    """Read a request. A streamed chat is made to tell its usage, which that API does only on demand."""
    plain = path.partition("?")[0]
    api = _api(plain)
    asked = _decoded(body)
    in_path = MODEL_IN_PATH.search(plain)
    model = (asked.model or (in_path[1] if in_path else ""))[:LONGEST_NAME]
    known = plain.endswith(("/messages", "completions", "/responses", "enerateContent"))
    paid = method == "POST" and (known or bool(model)) and not plain.endswith(FREE)
    adds = api is Api.CHAT and bool(asked.stream) and not (asked.stream_options or {}).get("include_usage")
    if adds:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        options = {**(asked.stream_options or {}), "include_usage": True}
        body = msgspec.json.encode({**members, "stream_options": options})
    return Question(method, without_secrets(path), api, model, body, paid, adds)


def _decoded(body: bytes) -> _Body:
    try:
        return msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Body()


def _api(path: str) -> Api:
    if re.search(r"/messages(/count_tokens)?$", path):
        return Api.ANTHROPIC
    if path.endswith("/responses"):
        return Api.RESPONSES
    return Api.GEMINI if re.search(r"/models/[^/]+:\w+$", path) else Api.CHAT


def without_secrets(path: str) -> str:
    """A path whose query has lost each parameter that may be a secret."""
    plain, _, query = path.partition("?")
    kept = [part for part in query.split("&") if not SECRET_NAME.search(part.partition("=")[0])]
    return "?".join(filter(None, (plain, "&".join(kept))))


def secrets_in(path: str, headers: Iterable[tuple[str, str]]) -> set[str]:
    """The words of a request that are, or may be, secret: of its query and of its headers."""
    parameters = [part.partition("=")[::2] for part in path.partition("?")[2].split("&")]
    return {word for name, value in (*parameters, *headers) if SECRET_NAME.search(name) for word in value.split()}


def error_body(api: Api, status: int, message: str) -> bytes:
    """An error of our own in the API's form, so that an agent reads it as it reads its provider's."""
    kind = {402: "billing_error", 404: "not_found_error", 413: "request_too_large"}.get(status, "api_error")
    if api is Api.ANTHROPIC:
        made: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": message}}
    elif api is Api.GEMINI:
        made = {"error": {"code": status, "message": message, "status": kind.upper()}}
    else:
        made = {"error": {"message": message, "type": kind, "param": None, "code": kind}}
    return json.dumps(made).encode()
