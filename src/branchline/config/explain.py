"""From a JSON Schema validator's errors to sentences that a person can act on."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from branchline.config.document import Finding, Node, Path, suggestion
from branchline.config.schemas import Schema, schema

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

MISFIT = {"type", "enum", "const"}
TYPES = {
    "string": "text", "integer": "an integer", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a mapping", "null": "null",
}  # fmt: skip
SHOWN_TEXT = 40
BOUNDS = (("minimum", "of at least"), ("exclusiveMinimum", "above"), ("maximum", "of at most"))


@cache
def _validator(name: str) -> "Draft202012Validator":
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(schema(name))


def schema_findings(name: str, root: Node) -> Iterator[Finding]:
    """All that the schema `name` (plan, config, graph, context) says against a document."""
    explainer = _Explainer(name, schema(name), root)
    for error in _validator(name).iter_errors(root.data):
        yield from explainer.explain(error)


def label(path: Path) -> str:
    """A path as people write it, quoted: ("workstreams", 0, "scope") is 'workstreams[0].scope'."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"'{text.removeprefix('.')}'"


def shown(value: object) -> str:
    """A value as it may stand in a sentence, cut to `SHOWN_TEXT` characters."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN_TEXT else value[:SHOWN_TEXT] + "...")
    words: dict[object, str] = {dict: "a mapping", list: "a list", type(None): "nothing", bool: str(value).lower()}
    return words.get(type(value), str(value))


@dataclass(frozen=True, slots=True)
class _Explainer:
    name: str
    schema: Schema
    root: Node

    def explain(self, error: "ValidationError") -> Iterator[Finding]:
        fragment: Any = self.schema
        for step in error.schema_path[:-1]:
            fragment = fragment[step]
        path, fragment = error.instance_path, dict(fragment)
        node = self.root.at(path)
        match error.kind.name:
            case "additionalProperties":
                free = [key for key in fragment["properties"] if key not in node.keys and key != "$schema"]
                for key in error.kind.as_dict()["unexpected"]:
                    message = f"'{key}' is not a key of {self._noun(path, fragment)}"
                    yield Finding(node.keys[key], message, suggestion(key, free))
            case "required":
                yield Finding(node.place, f"{label([*path, error.kind.as_dict()['property']])} is missing")
            case "minProperties" | "maxProperties":
                message = f"{self._noun(path, fragment)} has exactly one of {', '.join(fragment['properties'])}"
                yield Finding(node.place, f"{message}; this one has {len(node.children)}")
            case "minItems" | "maxItems" as kind:
                number = f"{fragment[kind]} item" + ("" if fragment[kind] == 1 else "s")
                bound = f"{'at least' if kind == 'minItems' else 'at most'} {number}"
                yield Finding(node.place, f"{label(path)} must have {bound}, not {len(node.children)}")
            case "anyOf" if inner := self._fitting(error, fragment):
                for cause in inner:
                    yield from self.explain(cause)
            case _:
                subject = label(path) if path else f"a {self.name} file"
                message = f"{subject} must be {self.expected(fragment)}, not {shown(error.instance)}"
                hint = suggestion(error.instance, _options(fragment)) if isinstance(error.instance, str) else ""
                yield Finding(node.place, message, hint if hint.startswith("did") else "")

    def _fitting(self, error: "ValidationError", fragment: Schema) -> "list[ValidationError]":
        """The errors of the one branch whose type the value has; none if the branches are described as a whole."""
        if "description" in fragment:
            return []
        branches = [
            branch
            for branch in error.kind.as_dict()["context"]
            if not any(c.kind.name in MISFIT and c.instance_path == error.instance_path for c in branch)
        ]
        return branches[0] if len(branches) == 1 else []

    def _noun(self, path: Path, fragment: Schema) -> str:
        if not path:
            return f"a {self.name} file"
        if isinstance(path[-1], str) or not self.root.place.line:
            return label(path)
        noun = fragment["title"].removesuffix("Spec").lower()
        return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"

    def expected(self, fragment: Schema) -> str:
        """What a fragment of the schema asks for, in words."""
        if "$ref" in fragment:
            return self.expected(self.schema["$defs"][fragment["$ref"].rpartition("/")[2]])
        if "description" in fragment and fragment.get("type") != "object":
            return str(fragment["description"])
        if "anyOf" in fragment:
            return " or ".join(self.expected(option) for option in fragment["anyOf"] if option.get("type") != "null")
        if "enum" in fragment:
            return " or ".join(repr(option) for option in fragment["enum"])
        text = "text that is not empty" if fragment.get("minLength") else TYPES[fragment["type"]]
        bounds = [f"{word} {fragment[key]}" for key, word in BOUNDS if key in fragment]
        return f"{text} {' and '.join(bounds)}" if bounds else text


def _options(fragment: Schema) -> list[str]:
    """The words that an enumeration, also as one branch of several, allows."""
    options = [*fragment.get("enum", ()), *(word for branch in fragment.get("anyOf", ()) for word in _options(branch))]
    return [option for option in options if isinstance(option, str)]
