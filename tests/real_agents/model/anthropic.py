"""Anthropic's messages."""

import json
from collections.abc import Iterator

from real_agents.model.answer import Answer, Conversation, Event, Json, strings

KINDS = {
    400: ("invalid_request_error", "messages: at least one message is required"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: no such model"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    529: ("overloaded_error", "Overloaded"),
}


class Messages:
    """POST /v1/messages."""

    def conversation(self, body: Json, path: str) -> Conversation:  # noqa: ARG002 - the protocol's signature
        messages = body.get("messages", [])
        parts = [part for message in messages if isinstance(message["content"], list) for part in message["content"]]
        asked = [message["content"] for message in messages if message["role"] == "user"]
        return Conversation(
            model=body.get("model", ""),
            text="\n".join(strings([body.get("system", ""), *asked])),
            tools={tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools", [])},
            results=sum(part.get("type") == "tool_result" for part in parts),
            turns=sum(message["role"] == "assistant" for message in messages),
            stream=body.get("stream", False),
        )

    def document(self, answer: Answer) -> Json:
        usage = answer.usage
        reason = "refusal" if answer.refused else "tool_use" if answer.call else "end_turn"
        return {
            "id": f"msg_{answer.serial}",
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": [_block(answer)],
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": usage.input - usage.cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": usage.cached,
                "output_tokens": usage.output,
            },
        }

    def events(self, answer: Answer) -> Iterator[Event]:
        document = self.document(answer)
        usage = {**document["usage"], "output_tokens": 1}
        started = {**document, "content": [], "stop_reason": None, "usage": usage}
        empty: Json = {"input": {}} if answer.call else {"text": ""}
        yield _event("message_start", message=started)
        yield _event("content_block_start", index=0, content_block={**_block(answer), **empty})
        for delta in _deltas(answer):
            yield _event("content_block_delta", index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        ended = {"stop_reason": document["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", delta=ended, usage={"output_tokens": answer.usage.output})
        yield _event("message_stop")

    def error(self, status: int, kind: str, message: str) -> Json:
        usual = KINDS.get(status, ("api_error", "Internal server error"))
        return {"type": "error", "error": {"type": kind or usual[0], "message": message or usual[1]}}


def _block(answer: Answer) -> Json:
    if answer.call is None:
        return {"type": "text", "text": answer.text}
    return {
        "type": "tool_use",
        "id": f"toolu_{answer.serial}",
        "name": answer.call.name,
        "input": answer.call.arguments,
    }


def _deltas(answer: Answer) -> Iterator[Json]:
    if answer.call is not None:
        yield {"type": "input_json_delta", "partial_json": json.dumps(answer.call.arguments)}
    for piece in answer.pieces:
        yield {"type": "text_delta", "text": piece}


def _event(kind: str, **data: object) -> Event:
    return kind, {"type": kind, **data}
