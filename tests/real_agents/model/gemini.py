"""Google's generateContent."""

from collections.abc import Iterator

from real_agents.model.answer import Answer, Conversation, Event, Json, strings

KINDS = {
    400: ("INVALID_ARGUMENT", "Request contains an invalid argument."),
    401: ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    404: ("NOT_FOUND", "The model is not found or is not supported for generateContent."),
    429: ("RESOURCE_EXHAUSTED", "Resource has been exhausted."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
}


class GenerateContent:
    """POST /v1beta/models/MODEL:generateContent, or :streamGenerateContent."""

    def conversation(self, body: Json, path: str) -> Conversation:
        contents = body.get("contents", [])
        parts = [part for content in contents for part in content["parts"]]
        asked = [content["parts"] for content in contents if content.get("role") != "model"]
        declared = [tool for group in body.get("tools", []) for tool in group.get("functionDeclarations", [])]
        return Conversation(
            model=path.rpartition("/")[2].partition(":")[0],
            text="\n".join(strings([body.get("systemInstruction", {}).get("parts", []), *asked])),
            tools={tool["name"]: tool.get("parametersJsonSchema") or tool.get("parameters", {}) for tool in declared},
            results=sum("functionResponse" in part for part in parts),
            turns=sum(content.get("role") == "model" for content in contents),
            stream=":stream" in path,
        )

    def document(self, answer: Answer) -> Json:
        part: Json = {"text": answer.text}
        if answer.call is not None:
            part = {"functionCall": {"name": answer.call.name, "args": answer.call.arguments}}
        return _candidate(answer, part, "SAFETY" if answer.refused else "STOP")

    def events(self, answer: Answer) -> Iterator[Event]:
        for piece in answer.pieces[:-1]:
            yield "", _candidate(answer, {"text": piece}, None)
        document = self.document(answer)
        if answer.pieces:
            document["candidates"][0]["content"]["parts"] = [{"text": answer.pieces[-1]}]
        yield "", document

    def error(self, status: int, kind: str, message: str) -> Json:
        usual = KINDS.get(status, ("INTERNAL", "An internal error has occurred."))
        return {"error": {"code": status, "message": message or usual[1], "status": kind or usual[0]}}


def _candidate(answer: Answer, part: Json, reason: str | None) -> Json:
    usage = answer.usage
    candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": reason} if reason else candidate],
        "usageMetadata": {
            "promptTokenCount": usage.input,
            "cachedContentTokenCount": usage.cached,
            "candidatesTokenCount": usage.output,
            "totalTokenCount": usage.input + usage.output,
        },
        "modelVersion": answer.model,
    }
