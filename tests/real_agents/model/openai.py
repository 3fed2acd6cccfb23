"""OpenAI's two APIs: chat completions, which most others speak too, and responses."""

import json
from collections.abc import Iterator

from real_agents.model.answer import Answer, Call, Conversation, Event, Json, strings

KINDS = {
    400: ("invalid_request_error", "Invalid request."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    404: ("model_not_found", "The model does not exist or you do not have access to it."),
    429: ("rate_limit_exceeded", "Rate limit reached for requests."),
    503: ("overloaded", "The engine is currently overloaded, please try again later."),
}


def _error(status: int, kind: str, message: str) -> Json:
    usual = KINDS.get(status, ("server_error", "The server had an error while processing your request."))
    kind = kind or usual[0]
    return {"error": {"message": message or usual[1], "type": kind, "code": kind, "param": None}}


class ChatCompletions:
    """POST /v1/chat/completions."""

    def conversation(self, body: Json, path: str) -> Conversation:  # noqa: ARG002 - the protocol's signature
        messages = body.get("messages", [])
        asked = [message["content"] for message in messages if message["role"] in {"system", "developer", "user"}]
        functions = [tool["function"] for tool in body.get("tools") or []]
        # Agents without tools show examples first: only what was said after the last prompt with a script counts.
        last = max((at for at, one in enumerate(messages) if "@@SCRIPT" in json.dumps(one.get("content"))), default=0)
        return Conversation(
            model=body.get("model", ""),
            text="\n".join(strings(asked)),
            tools={function["name"]: function.get("parameters", {}) for function in functions},
            results=sum(message["role"] == "tool" for message in messages),
            turns=sum(message["role"] == "assistant" for message in messages[last:]),
            stream=body.get("stream") or False,
        )

    def document(self, answer: Answer) -> Json:
        message = {"role": "assistant", "content": None if answer.call else answer.text, **_spoken(answer)}
        choice = {"index": 0, "message": message, "finish_reason": _finish(answer)}
        return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _chat_usage(answer)}

    def events(self, answer: Answer) -> Iterator[Event]:
        deltas = [{"role": "assistant", "content": ""}, *({"content": piece} for piece in answer.pieces)]
        if spoken := _spoken(answer):
            deltas.append(spoken)
        head = _head(answer, "chat.completion.chunk")
        for delta in deltas:
            yield "", {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield "", {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": _finish(answer)}]}
        yield "", {**head, "choices": [], "usage": _chat_usage(answer)}
        yield "", "[DONE]"

    def error(self, status: int, kind: str, message: str) -> Json:
        return _error(status, kind, message)


def _head(answer: Answer, kind: str) -> Json:
    return {"id": f"chatcmpl-{answer.serial}", "object": kind, "created": 1, "model": answer.model}


def _spoken(answer: Answer) -> Json:
    """The part of a message that is not its text."""
    if answer.call is None:
        return {"refusal": answer.text} if answer.refused else {}
    function = {"name": answer.call.name, "arguments": json.dumps(answer.call.arguments)}
    return {"tool_calls": [{"index": 0, "id": f"call_{answer.serial}", "type": "function", "function": function}]}


def _finish(answer: Answer) -> str:
    return "content_filter" if answer.refused else "tool_calls" if answer.call else "stop"


def _chat_usage(answer: Answer) -> Json:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


class Responses:
    """POST /v1/responses."""

    def conversation(self, body: Json, path: str) -> Conversation:  # noqa: ARG002 - the protocol's signature
        given = body.get("input", [])
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given
        asked = [item.get("content", "") for item in items if item.get("role") in {"system", "developer", "user"}]
        tools = body.get("tools") or []
        return Conversation(
            model=body.get("model", ""),
            text="\n".join(strings([body.get("instructions") or "", *asked])),
            tools={tool["name"]: tool.get("parameters", {}) for tool in tools if "name" in tool},
            freeform=frozenset(tool["name"] for tool in tools if tool.get("type") == "custom"),
            results=sum(item.get("type", "").endswith("_call_output") for item in items),
            turns=sum(item.get("role") == "assistant" for item in items),
            stream=body.get("stream", False),
        )

    def document(self, answer: Answer) -> Json:
        usage = answer.usage
        return {
            "id": f"resp_{answer.serial}",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": answer.model,
            "output": [_item(answer)],
            "error": None,
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage.input + usage.output,
            },
        }

    def events(self, answer: Answer) -> Iterator[Event]:
        document, item = self.document(answer), _item(answer)
        started = {**document, "status": "in_progress", "output": [], "usage": None}
        begun = {**item, "status": "in_progress", **({"content": []} if answer.call is None else {})}
        yield _event("response.created", response=started)
        yield _event("response.output_item.added", output_index=0, item=begun)
        for piece in answer.pieces:
            where = {"item_id": item["id"], "output_index": 0, "content_index": 0}
            yield _event("response.output_text.delta", **where, delta=piece)
        yield _event("response.output_item.done", output_index=0, item=item)
        yield _event("response.completed", response=document)

    def error(self, status: int, kind: str, message: str) -> Json:
        return _error(status, kind, message)


def _item(answer: Answer) -> Json:
    if answer.call is not None:
        return {
            **_called(answer.call),
            "id": f"fc_{answer.serial}",
            "call_id": f"call_{answer.serial}",
            "status": "completed",
        }
    part = {"type": "output_text", "text": answer.text, "annotations": []}
    content = {"type": "refusal", "refusal": answer.text} if answer.refused else part
    return {
        "type": "message",
        "id": f"msg_{answer.serial}",
        "role": "assistant",
        "status": "completed",
        "content": [content],
    }


def _called(call: Call) -> Json:
    if isinstance(call.arguments, str):
        return {"type": "custom_tool_call", "name": call.name, "input": call.arguments}
    return {"type": "function_call", "name": call.name, "arguments": json.dumps(call.arguments)}


def _event(kind: str, **data: object) -> Event:
    return kind, {"type": kind, **data}
