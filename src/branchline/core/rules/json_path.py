"""Where a value stands in JSON: the part of JSONPath that reading an agent's output takes.

`$.usage.input`, `$.choices[0].text`, `$.items[-1]`, `$.models.*.tokens`, and the step `[?key=text]`: of a list the
objects whose member has that value, of an object itself if it has, so that `$[?type=result].text` picks an event.
"""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from branchline.core.rules.linear import compiled

STEP = compiled(
    r"\.(?P<name>[^.\[\]*]+)|\.(?P<all>\*)|\[(?P<index>-?\d{1,9})\]|\[\?(?P<key>[^=\]]{1,100})=(?P<value>[^\]]{0,200})\]"
)


_Step = str | int | tuple[str, str] | None
"""A member's name, an index, a filter's key and value, `*` as None."""


@lru_cache(maxsize=256)
def json_path(text: str) -> Callable[[Any], list[Any]]:
    """What finds every value at a path, in the order of the document. Raises ValueError with a sentence for the user."""
    if not text.startswith("$"):
        raise ValueError(f"the JSON path {text!r} does not begin with $")
    steps: list[_Step] = []
    position = 1
    while position < len(text):
        match = STEP.match(text, position)
        if match is None:
            raise ValueError(f"the JSON path {text!r} cannot be read from {text[position:]!r} on")
        index, key = match["index"], match["key"]
        steps.append(int(index) if index else (key, match["value"]) if key else match["name"])
        position = match.end()

    def find(value: Any) -> list[Any]:
        found = [value]
        for step in steps:
            found = [inner for outer in found for inner in _inner(outer, step)]
        return found

    return find


def _inner(value: Any, step: _Step) -> list[Any]:
    match step, value:
        case str(), dict():
            return [value[step]] if step in value else []
        case int(), list():
            return [value[step]] if -len(value) <= step < len(value) else []
        case None, dict():
            return list(value.values())
        case None, list():
            return value
        case (key, wanted), dict() | list():
            several = value if isinstance(value, list) else [value]
            return [one for one in several if isinstance(one, dict) and key in one and wanted == _word(one[key])]
    return []


def _word(value: Any) -> str:
    """A plain value as JSON writes it, text without its quotes."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if value is None or isinstance(value, int | float) else ""
