"""The script that a prompt carries: what the model is to do, one step for each of its turns.

`@@SCRIPT [step, ...] @@END` stands anywhere in the text of a conversation; `@@SCRIPT {"when": text, "steps": [...]} @@END`
counts only where that text occurs outside of all scripts. The last script that counts is played, so that one request can
hold the planner's script and everybody else's, and a repair round the old script and a new one. A script's strings may hold scripts.
"""

import json
import re
from typing import Annotated, Any

import msgspec

OPENING, CLOSING = "@@SCRIPT", "@@END"


class Edit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replace a text that occurs in a file."""

    path: str
    old: str
    new: str


class Write(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Write a whole file."""

    path: str
    content: str


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One turn: at most one action (none: a closing word), and what goes wrong with it.

    `json` is a structured answer. `status` is answered instead, `times` times (0: for ever), with `error` as its kind.
    `hang` seconds pass after the first byte, `slow` between two pieces; `cut` closes the connection in mid-stream;
    `huge` bytes of text follow. `usage`: tokens in, out and, of those that went in, cached.
    """

    edit: Edit | None = None
    write: Write | None = None
    shell: str | None = None
    read: str | None = None
    text: str | None = None
    json: Any = msgspec.UNSET
    refuse: str | None = None
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] | None = None
    times: int = 0
    error: str = ""
    message: str = ""
    retry_after: int | None = None
    hang: float = 0.0
    slow: float = 0.0
    cut: bool = False
    huge: int = 0
    usage: tuple[int, int, int] = (1000, 40, 0)


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Steps, and the text that must occur for them to count."""

    steps: tuple[Step, ...]
    when: str = ""


NOTHING = Script(steps=(Step(text="Nothing to do."),))


class BadScript(ValueError):
    """A prompt holds a script that cannot be read."""


def script(*steps: dict[str, Any], when: str = "") -> str:
    """A script as it stands in a prompt. Raises BadScript if a step makes no sense."""
    text = f"{OPENING} {json.dumps({'when': when, 'steps': steps})} {CLOSING}"
    script_in(text)
    return text


def script_in(text: str) -> Script:
    """The script that a conversation's text asks for; without one there is nothing to do. Raises BadScript."""
    found, prose = [], []
    decoder = json.JSONDecoder()
    at = 0
    for match in re.finditer(rf"{OPENING}\s*(?=[\[{{])", text):
        if match.start() < at:  # inside of a script's string
            continue
        prose.append(text[at : match.start()])
        try:
            value, end = decoder.raw_decode(text, match.end())
            found.append(msgspec.convert({"steps": value} if isinstance(value, list) else value, Script))
        except ValueError as error:
            raise BadScript(str(error)) from error
        closing = re.compile(rf"\s*{CLOSING}").match(text, end)
        at = closing.end() if closing else end
    prose.append(text[at:])
    outside = "\n".join(prose)
    return next((one for one in reversed(found) if one.when in outside), NOTHING)
