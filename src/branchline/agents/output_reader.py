"""Reading what a command prints: places in text lines, in one JSON value, or in a stream of JSON lines."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from branchline.agents.faults import error_class
from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, CostSource, Progress, Usage
from branchline.core.agent_spec import AgentSpec
from branchline.core.json_path import json_path
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

NOTES = 4000  # characters of its last words that are kept
ANSWER = 1 << 18  # the same where an answer by a schema may stand in them
LONGEST_LINE = 4000  # characters of a text line that patterns are tried on: they may be slow
LARGEST_JSON = 16 << 20  # bytes
MOST_LINES = 200_000  # of a flood that is more, only the end is read: our time is worth more
FLOODS_END = 1 << 16  # bytes
TOLD = 2000  # characters of an error
MOST_DENIALS = 50
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
NUMBERS = (*TOKENS, "cost_usd")
NUMBER = re.compile(r"([0-9][0-9,]*\.?[0-9]*)\s*([kKM]?)")
SCALE = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}

Find = Callable[[Any], Iterable[Any]]


class OutputReader:
    """Folds an output into what a specification says of it."""

    def __init__(self, spec: AgentSpec, request: AgentRequest) -> None:
        self._spec, self._output = spec, spec.output
        as_text = self._output.format == "text"
        make = _in_text if as_text else _in_json
        self._find: dict[str, Find] = {name: make(where) for name, where in self._output.places.items()}
        self._top = request.worktree + "/"
        self._longest = ANSWER if request.output_schema is not None else NOTES
        self._numbers: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._status: int | None = None
        self._structured: Any = None
        self._denials: dict[str, None] = {}  # in the order in which they came
        self._failed = ""
        self._plain = bytearray()  # the end of what is not JSON
        self._whole: bytearray | None = bytearray()  # None: too large
        self._lines = self._records = 0
        self._flood = bytearray()  # the end of what was not read
        self._done = not self._output.done
        self._worked = False

    @property
    def progress(self) -> Progress:
        """The tool in use, tokens and money so far."""
        used = [self._numbers[name] for name in ("input_tokens", "output_tokens") if name in self._numbers]
        tokens = int(sum(used)) if used else None
        return Progress(doing=self._texts.get("doing", ""), tokens=tokens, cost_usd=self._usage().cost_usd)

    def line(self, data: bytes) -> None:
        """Take a line in."""
        self._lines += 1
        if self._output.format == "json":
            self._keep(data)
        elif self._lines > MOST_LINES:
            self._flood += data[-FLOODS_END:] + b"\n"
            if len(self._flood) > 4 * FLOODS_END:
                del self._flood[:-FLOODS_END]
        else:
            self._read(data)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the output and the exit mean together."""
        if self._output.format == "json":
            self._take_whole()
        if self._flood:
            self._take_floods_end()
        status, message, kind = self._verdict(ended, stderr)
        return AgentResult(
            status=status,
            message=message,
            error_class=kind,
            notes=self._texts.get("message", "") or readable(bytes(self._plain[-self._longest :])).strip(),
            usage=self._usage(),
            model=self._texts.get("model", ""),
            session_id=self._texts.get("session_id", ""),
            structured=self._structured,
            denials=tuple(self._denials)[:MOST_DENIALS],
        )

    def _verdict(self, ended: Exit, stderr: bytes) -> tuple[AgentStatus, str, str]:
        words = last_line(stderr) or last_line(bytes(self._plain))
        if ended.code in self._spec.limit_codes:
            return AgentStatus.LIMIT, words or f"exit code {ended.code}: it reached its limit", "turns"
        if error := self._texts.get("error"):
            kind = error_class(error, self._status) or error_class(words)
            return AgentStatus.MODEL_ERROR, error[:TOLD], kind
        if telling := self._failed or self._telling(self._texts.get("message", "")):
            kind = error_class(telling) or error_class(words)
            return AgentStatus.MODEL_ERROR, f"it printed {telling[:TOLD]!r}", kind
        if ended.code not in self._spec.ok_codes:
            message = f"exit code {ended.code}" + (f": {words[:TOLD]}" if words else "")
            return AgentStatus.MODEL_ERROR, message, error_class(words)
        problem = self._incomplete()
        return (AgentStatus.INVALID_OUTPUT if problem else AgentStatus.OK), problem, ""

    def _incomplete(self) -> str:
        """What is missing of an output that tells of no failure; empty if it is whole."""
        if self._output.format != "text" and not self._records:
            return f"its output is not {self._output.format}"
        return "" if self._done else "its output was cut off before its end"

    def _read(self, data: bytes) -> None:
        record = _decoded(data) if self._output.format == "jsonl" else None
        if isinstance(record, dict):
            self._record(record)
        else:
            self._plain_line(data)

    def _take_floods_end(self) -> None:
        for line in bytes(self._flood[-FLOODS_END:]).splitlines():
            self._read(line)
        if self._output.add:
            self._numbers.clear()  # a sum that lacks a part would be wrong: unknown is better

    def _plain_line(self, data: bytes) -> None:
        self._plain += data[-self._longest :] + b"\n"
        if len(self._plain) > 2 * self._longest:
            del self._plain[: -self._longest]
        text = readable(data[:LONGEST_LINE])
        self._failed = self._failed or self._telling(text)
        if self._output.format == "text":
            self._record(text)

    def _telling(self, text: str) -> str:
        """The line in a text that tells of a failure, whatever the exit code says; empty if none does."""
        lines = (line for line in text.split("\n") if any(sign in line for sign in self._spec.fail_if_stdout))
        return next(lines, "")

    def _record(self, record: Any) -> None:
        """Take one line's values in, or the whole output's."""
        self._records += 1
        found = {name: values for name, find in self._find.items() if (values := list(find(record)))}
        if not found:
            return
        for name in NUMBERS:
            self._add(name, found.get(name, ()))
        for name in ("session_id", "model"):
            if name in found:
                self._texts[name] = _words(found[name][0])[:TOLD]
        if "structured" in found:
            self._structured = found["structured"][0]
        if len(self._denials) < MOST_DENIALS:
            self._denials |= {_words(value)[:200]: None for value in found.get("denials", ())}
        self._done = self._done or "done" in found
        if "doing" in found:
            parts = [
                _words(found[name][0]).removeprefix(self._top)[:200] for name in ("doing", "target") if name in found
            ]
            self._texts["doing"] = " ".join(parts)
            self._worked = True
        self._say(found)

    def _say(self, found: dict[str, list[Any]]) -> None:
        if "message" in found:
            self._texts.pop("error", None)
            said = _words(found["message"][0])
            if self._output.join and not self._worked:
                said = self._texts.get("message", "") + said
            self._texts["message"] = said[-self._longest :]
            self._worked = False
        if error := next((words for value in found.get("error", ()) if (words := _words(value))), ""):
            self._texts["error"] = error
            codes = [value for value in found.get("status", ()) if type(value) is int]
            self._status = codes[0] if codes else None

    def _add(self, name: str, values: Iterable[Any]) -> None:
        numbers = [number for value in values if (number := _number(value)) is not None]
        if numbers and self._output.add:
            self._numbers[name] = self._numbers.get(name, 0) + sum(numbers)
        elif numbers:
            self._numbers[name] = numbers[0]

    def _keep(self, data: bytes) -> None:
        if self._whole is not None:
            self._whole += data + b"\n"
        if self._whole is not None and len(self._whole) > LARGEST_JSON:
            self._whole = None

    def _take_whole(self) -> None:
        """Read the one value that the output is, after whatever stands before it."""
        whole, self._whole = bytes(self._whole or b""), None
        starts = [0, *(match.start() for match in re.finditer(rb"^[\[{]", whole, re.MULTILINE))][:10]
        for start in starts:
            value = _decoded(whole[start:])
            if isinstance(value, dict | list):
                self._record(value)
                return
        for line in whole[-2 * self._longest :].splitlines():
            self._plain_line(line)

    def _usage(self) -> Usage:
        tokens = {name: int(self._numbers[name]) for name in TOKENS if name in self._numbers}
        cost = self._numbers.get("cost_usd")
        if cost == 0 and any(tokens.values()):
            cost = None  # agents say 0 of a model whose price they do not know
        source: CostSource = "unknown" if cost is None else "agent"
        return Usage(
            input_tokens=tokens.get("input_tokens"),
            output_tokens=tokens.get("output_tokens"),
            cached_tokens=tokens.get("cached_tokens"),
            cost_usd=cost,
            cost_source=source,
        )


def _in_json(where: str) -> Find:
    return json_path(where).find


def _in_text(where: str) -> Find:
    pattern = re.compile(where)

    def find(text: str) -> list[str]:
        match = pattern.search(text)
        return [] if match is None or match["value"] is None else [match["value"]]

    return find


def _decoded(data: bytes) -> Any:
    """A JSON value, or None."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _words(value: Any) -> str:
    """A value as text: of an error object its message; empty for what says nothing, such as `false`."""
    match value:
        case str():
            return value
        case None | False:
            return ""
        case {"message": str(message)} if message:
            return message
    return msgspec.json.encode(value).decode()


def _number(value: Any) -> float | None:
    """A number of at least 0, also from text such as `2.2k` or `1,024`; None if it is none."""
    if isinstance(value, str) and (match := NUMBER.fullmatch(value.strip())):
        return float(match[1].replace(",", "")) * SCALE[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
