"""An agent's answer by a schema: no agent is trusted to have kept to it."""

from typing import Any

import msgspec

from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus

MOST_ERRORS = 10
LARGE = 100_000  # bytes; of a larger answer only the first error is told, since finding all takes a minute per MB


def checked(result: AgentResult, request: AgentRequest) -> AgentResult:
    """The result, or INVALID_OUTPUT with what is wrong, when an answer was due and is not what was asked for."""
    if request.output_schema is None or result.status is not AgentStatus.OK:
        return result
    answer = result.structured if result.structured is not None else answer_in(result.notes)
    if answer is None:
        problem = "it gave no answer in the form that was asked for"
    elif errors := schema_errors(answer, request.output_schema):
        problem = "; ".join(errors)
    else:
        return msgspec.structs.replace(result, structured=answer)
    return msgspec.structs.replace(result, status=AgentStatus.INVALID_OUTPUT, message=problem, structured=answer)


def answer_in(text: str) -> Any:
    """The JSON object in a text: the whole of it, or its last fenced block, or from its first `{` to its last `}`."""
    fenced = text.rpartition("```json")[2].partition("```")[0]
    braced = text[text.find("{") : text.rfind("}") + 1]
    for candidate in (text, fenced, braced):
        try:
            found = msgspec.json.decode(candidate.strip())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return None


def schema_errors(value: Any, schema: dict[str, Any]) -> list[str]:
    """What a value breaks of a JSON Schema, a sentence each, at most ten."""
    import jsonschema_rs

    validator = jsonschema_rs.validator_for(schema)
    if validator.is_valid(value):
        return []
    if len(msgspec.json.encode(value)) > LARGE:
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return [_sentence(error.instance_path, error.message)]
    return [_sentence(error.instance_path, error.message) for error in validator.iter_errors(value)][:MOST_ERRORS]


def _sentence(path: list[str | int], message: str) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"at {where.lstrip('.') or 'the top'}: {message[:300]}"
