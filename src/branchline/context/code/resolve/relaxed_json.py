"""JSON as configuration files have it."""

import re
from typing import Any

import msgspec

_STRINGS_AND_COMMENTS = re.compile(rb'"(?:\\.|[^"\\])*"?|//[^\n]*|/\*.*?(?:\*/|\Z)', re.DOTALL)
_STRINGS_AND_LAST_COMMAS = re.compile(rb'"(?:\\.|[^"\\])*"?|,(?=\s*[}\]])', re.DOTALL)


def read_json(data: bytes) -> dict[str, Any]:
    """The members of a JSON object that may have comments and last commas; none for anything else."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    data = _STRINGS_AND_COMMENTS.sub(lambda found: found[0] if found[0][:1] == b'"' else b" ", data)
    data = _STRINGS_AND_LAST_COMMAS.sub(lambda found: found[0] if found[0][:1] == b'"' else b"", data)
    try:
        read = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def members(value: Any) -> dict[str, Any]:
    """A JSON object as it is; none of anything else."""
    return value if isinstance(value, dict) else {}
