"""Models as text for storing: YAML for people, which loads back equal, and a digest for comparing."""

import hashlib
import json

import msgspec

from branchline.config.document import plain_value
from branchline.core.rules.linear import compiled

BARE_KEY = compiled(r"[A-Za-z_][A-Za-z0-9_]*")
INDENT = "  "


def canonical(model: msgspec.Struct) -> str:
    """A model as block-style YAML. Members that have their default are left out; equal models give equal text."""
    return _value(msgspec.to_builtins(model), "").lstrip() + "\n"


def digest(model: msgspec.Struct) -> str:
    """sha-256, in hexadecimal, of a model's JSON with sorted keys."""
    return hashlib.sha256(msgspec.json.encode(model, order="sorted")).hexdigest()


def _value(value: object, pad: str) -> str:
    """A value as it follows `key:` or `-`: with the space or the line breaks in front, without one at the end."""
    match value:
        case dict() if value:
            lines = []
            for name, member in value.items():
                bare = BARE_KEY.fullmatch(name) and isinstance(plain_value(name), str)
                lines.append(f"\n{pad}{name if bare else _quoted(name)}:{_value(member, pad + INDENT)}")
            return "".join(lines)
        case list() | tuple() if value:
            return "".join(f"\n{pad}- {_value(member, pad + INDENT).lstrip()}" for member in value)
        case str():
            lines = value.removesuffix("\n").split("\n")
            # A literal block would not show these lines as they are.
            is_plain = all(line == line.rstrip() and line.replace("\t", " ").isprintable() for line in lines)
            if "\n" not in value or not is_plain or not lines[0][:1].strip() or not lines[-1]:
                return " " + _quoted(value)
            head = " |" if value.endswith("\n") else " |-"
            return "\n".join([head, *(pad + line if line else "" for line in lines)])
        case _:
            return " " + json.dumps(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())
