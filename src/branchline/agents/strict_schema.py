"""A JSON Schema as OpenAI's strict mode takes it.

Strict mode refuses a schema in which an object may have other members or a member may be missing. So every member
becomes required, those that were optional become nullable, and the nulls are taken out of the answer again.
"""

from typing import Any

COMPOSED = ("anyOf", "oneOf")
KEPT = frozenset({"type", "enum", "const", "description", "title", "pattern", "format", "minItems", "maxItems",
                  "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})  # fmt: skip


class NotStrict(Exception):
    """A schema that strict mode cannot express."""


def strict(schema: dict[str, Any]) -> dict[str, Any] | None:
    """The schema for strict mode; None if it allows objects of any members, which strict mode cannot express."""
    definitions = schema.get("$defs", {})
    top = schema
    if "$ref" in schema:
        top = definitions.get(schema["$ref"].removeprefix("#/$defs/"), {})
    try:
        made = _strict(top)
        if made.get("type") != "object":
            return None
        if definitions:
            made["$defs"] = {name: _strict(one) for name, one in definitions.items()}
    except NotStrict:
        return None
    return made


def without_nulls(value: Any) -> Any:
    """An answer without the members that are null."""
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    made = {name: value for name, value in schema.items() if name in KEPT}
    for name in COMPOSED:
        if name in schema:
            made["anyOf"] = [_strict(one) for one in schema[name]]
    if "items" in schema:
        made["items"] = _strict(schema["items"])
    if schema.get("type") == "object":
        made |= _members(schema)
    if not made or "allOf" in schema:
        raise NotStrict
    return made


def _members(schema: dict[str, Any]) -> dict[str, Any]:
    members = schema.get("properties", {})
    if not members or isinstance(schema.get("additionalProperties"), dict):
        raise NotStrict
    required = schema.get("required", ())
    properties = {
        name: _strict(one) if name in required else {"anyOf": [_strict(one), {"type": "null"}]}
        for name, one in members.items()
    }
    return {"properties": properties, "required": list(properties), "additionalProperties": False}
