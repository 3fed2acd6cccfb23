"""JSON Schemas of the files that users write, generated from the models and tightened where those say more."""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from branchline.config.settings import Settings
from branchline.core.durations import PATTERN as DURATION
from branchline.core.graph import TaskFile
from branchline.core.model.manifest import ContextSettings, Manifest
from branchline.core.model.plan import Plan

Schema = dict[str, Any]
MODELS: dict[str, type[msgspec.Struct]] = {
    "plan": Plan,
    "config": Settings,
    "graph": TaskFile,
    "context": ContextSettings,
    "manifest": Manifest,
}
MAX_WORKSTREAMS = 1_000
MAX_TASKS = 20_000
NAME = r"^[A-Za-z0-9_.-]+$"
DIGEST = {"pattern": "^[0-9a-f]{64}$"}


@cache
def schema(name: str) -> Schema:
    """The schema (JSON Schema 2020-12) of `plan`, `config`, `graph`, `context` or `manifest`. Raises KeyError for others."""
    made = msgspec.json.schema(MODELS[name])
    definitions = made["$defs"]
    for fragment in _fragments(made):  # say in words what a pattern means: editors show it, and so do our messages
        if isinstance(text := fragment.get("description"), str):
            fragment["description"] = inspect.cleandoc(text)
        if fragment.get("pattern") == NAME:
            fragment["description"] = f"1 to {fragment['maxLength']} of the characters A-Z a-z 0-9 _ . -"
        if text_form := [option for option in fragment.get("anyOf", ()) if option.get("pattern") == DURATION]:
            text_form[0]["pattern"] = DURATION.replace("^", "^(?=.*[1-9])")
            fragment["description"] = "a time above 0: seconds, or text such as 30s, 10m or 1h30m"
    root = definitions[made["$ref"].rpartition("/")[2]]
    root["properties"] = {"$schema": {"type": "string", "description": "For editors; ignored."}} | root["properties"]
    if name == "plan":
        definitions["Action"] |= {"minProperties": 1, "maxProperties": 1}
        root["properties"]["workstreams"]["maxItems"] = MAX_WORKSTREAMS
    if name == "graph":
        root["properties"]["tasks"]["maxItems"] = MAX_TASKS
    if name == "manifest":  # what Python's types do not say: digests are digests, and nothing is negative
        for definition in definitions.values():
            for key, member in definition["properties"].items():
                if key.endswith("sha256") or key == "config_fingerprint":
                    member.update(DIGEST)
                if member.get("type") == "integer":
                    member["minimum"] = 1 if definition["title"] == "Span" else 0
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"Branchline {name} file"} | made


def as_text(made: Schema) -> str:
    """A schema as it stands in its file."""
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def _fragments(value: object) -> Iterator[Schema]:
    match value:
        case dict():
            yield value
            for member in value.values():
                yield from _fragments(member)
        case list():
            for member in value:
                yield from _fragments(member)
