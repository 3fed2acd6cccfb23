"""A three-way merge of JSON that knows objects: each side may change other keys. It never picks a side."""

import json
import re
from collections.abc import Sequence
from typing import Any

_ABSENT = object()


class Clash(Exception):
    """Both sides changed one value, each in its own way, or the text cannot be rewritten as it was."""


def merge_texts(base: str, ours: str, theirs: str) -> str:
    """Merge three JSON documents, laid out as `ours` is (indentation, end of file). An empty base is `{}`.

    Raises Clash, also for what is not plain JSON: repeated keys, NaN, numbers that a float does not hold exactly.
    """
    try:
        value = merge3(_parse(base.strip() or "{}"), _parse(ours), _parse(theirs))
    except (ValueError, RecursionError) as error:
        raise Clash(str(error)) from error
    indent = re.match(r"\s*[\[{]\r?\n([ \t]+)", ours)
    comma = ", " if not indent and re.search(r",\s", ours) else ","
    colon = ": " if indent or re.search(r'":\s', ours) else ":"
    layout = indent[1] if indent else None
    text = json.dumps(value, indent=layout, separators=(comma, colon), ensure_ascii=ours.isascii())
    return text + ours[len(ours.rstrip()) :]


def merge3(base: Any, ours: Any, theirs: Any) -> Any:
    """Merge parsed values: objects key by key, anything else whole; ours' keys come first. Raises Clash."""
    if _same(ours, theirs) or _same(base, theirs):
        return ours
    if _same(base, ours):
        return theirs
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        raise Clash("both sides changed one value")
    before = base if isinstance(base, dict) else {}
    sides = (before, ours, theirs)
    merged = {key: merge3(*(side.get(key, _ABSENT) for side in sides)) for key in {**ours, **theirs}}
    return {key: value for key, value in merged.items() if value is not _ABSENT}


def _same(one: Any, other: Any) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)  # unlike ==, tells 1 from true


def _parse(text: str) -> Any:
    def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Clash("a key is repeated")
        return found

    def exact(digits: str) -> float:
        if repr(float(digits)) != digits:  # NaN and Infinity are no JSON, and are not written so either
            raise Clash(f"the number {digits} would be rewritten")
        return float(digits)

    return json.loads(text, object_pairs_hook=members, parse_float=exact, parse_constant=exact)
