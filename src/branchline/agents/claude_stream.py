"""Reading what `claude -p --output-format stream-json` prints."""

import re
from typing import Any

import msgspec

from branchline.agents.faults import error_class
from branchline.core.agent import AgentResult, AgentStatus, Progress, Usage
from branchline.process.output import CONTROL, last_line, readable
from branchline.process.spawn import Exit

EDITORS = frozenset({"Edit", "Write", "NotebookEdit"})
TARGETS = ("file_path", "notebook_path", "command", "pattern")
SHOWN = 100  # characters of a tool's target
MOST = 1000  # files and open tool calls that are kept
LIMITS = {"error_max_turns": "turns", "error_max_budget_usd": "budget"}
SILENT = "its stream ends without a result"
NOT_ASKED = "it did not ask the model"
# JavaScript cuts a text between the halves of a character, and prints the half as it is.
LONE_HALF = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]..")
COMPLAINT = re.compile(r"^(?:Claude Code could not start|error): *(.+)", re.IGNORECASE | re.MULTILINE)
NOT_TAKEN = re.compile(r"unknown option|invalid|not a valid", re.IGNORECASE)


class _Tokens(msgspec.Struct, frozen=True):
    """Of one answer of the model, or of all. What was read from or written to the cache is not in `input_tokens`."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0


class _ModelTokens(msgspec.Struct, frozen=True, rename="camel"):
    """Of one model in the whole attempt; the same under other names."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0


class _Block(msgspec.Struct, frozen=True):
    """A part of a message: a text, a call of a tool, or what came of one."""

    type: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    is_error: bool | None = None


class _Message(msgspec.Struct, frozen=True):
    id: str = ""
    model: str = ""
    content: str | list[_Block] = ""
    usage: _Tokens | None = None


class _Denial(msgspec.Struct, frozen=True):
    tool_name: str = ""
    tool_input: Any = None


class _Line(msgspec.Struct, frozen=True):
    """Any line; which of these members it has depends on its type."""

    type: str = ""
    subtype: str = ""
    session_id: str = ""
    message: _Message | str | None = None
    error: Any = None
    is_error: bool = False
    api_error_status: int | None = None
    num_turns: int | None = None
    result: str | None = None
    errors: list[Any] = []
    stop_reason: str | None = None
    structured_output: Any = None
    total_cost_usd: float | None = None
    usage: _Tokens | None = None
    model_usage: dict[str, _ModelTokens] = msgspec.field(default={}, name="modelUsage")
    permission_denials: list[_Denial] = []


DECODER = msgspec.json.Decoder(_Line)
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ClaudeReader:
    """The verdict is the line of type `result`. The exit code follows it, and `subtype` may say success of an error."""

    def __init__(self, worktree: str) -> None:
        """`worktree`: absolute; paths inside it are shown relative to it."""
        self._inside = worktree.rstrip("/") + "/"
        self._doing = ""
        self._calls: dict[str, str] = {}
        self._files: dict[str, None] = {}
        self._input: int | None = None
        self._cached = 0
        self._answer = ""
        self._model = ""
        self._session = ""
        self._named_error = ""
        self._result: _Line | None = None

    @property
    def progress(self) -> Progress:
        """Its last tool, the files it edited, the tokens that went in so far; those that came out, and the cost, at its end."""
        usage = self._usage()
        tokens = None if usage.input_tokens is None else usage.input_tokens + (usage.output_tokens or 0)
        return Progress(doing=self._doing, files=tuple(self._files), tokens=tokens, cost_usd=usage.cost_usd)

    def line(self, data: bytes) -> None:
        """Take a line in; one that is no event changes nothing."""
        line = _decoded(data)
        if line is None:
            return
        self._session = line.session_id or self._session
        if line.type == "result":
            self._result = line
        elif isinstance(line.message, _Message):
            self._heard(line, line.message)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the result line says, or why there is none."""
        last = self._result
        made = _unfinished(ended, stderr) if last is None else _verdict(last, self._named_error)
        return msgspec.structs.replace(made, usage=self._usage(), model=self._model, session_id=self._session)

    def _heard(self, line: _Line, message: _Message) -> None:
        for block in message.content if isinstance(message.content, list) else ():
            if block.type == "tool_use":
                self._called(block)
            elif block.type == "tool_result":
                self._answered(block)
        if line.type == "assistant":
            self._named_error = line.error if isinstance(line.error, str) else ""
            if not message.model.startswith("<"):  # `<synthetic>` is Claude Code itself
                self._model = message.model or self._model
                self._count(message)

    def _called(self, block: _Block) -> None:
        target = _target(block.input).removeprefix(self._inside)
        self._doing = f"{block.name} {_short(target)}".strip()
        if block.name in EDITORS and len(self._calls) < MOST:
            self._calls[block.id] = target

    def _answered(self, block: _Block) -> None:
        path = self._calls.pop(block.tool_use_id, None)
        if path is not None and not block.is_error and len(self._files) < MOST:
            self._files[path] = None

    def _count(self, message: _Message) -> None:
        """Add an answer's tokens. Each part of an answer is a line of its own, with the usage of the whole."""
        if message.usage is not None and message.id != self._answer:
            self._answer = message.id
            self._input = (self._input or 0) + _input(message.usage)
            self._cached += message.usage.cache_read_input_tokens or 0

    def _usage(self) -> Usage:
        """From the result that of all models; before it what is known: how much came out is told only at the end."""
        if self._result is not None:
            return _whole(self._result)
        return Usage() if self._input is None else Usage(input_tokens=self._input, cached_tokens=self._cached)


def _decoded(data: bytes) -> _Line | None:
    try:
        return DECODER.decode(data)
    except NO_JSON:
        mended = LONE_HALF.sub(rb"\\ufffd", data.decode("utf-8", "replace").encode())
    try:
        return DECODER.decode(mended)
    except NO_JSON:
        return None


def _verdict(last: _Line, named: str) -> AgentResult:
    status, kind = _status(last, named)
    ok = status is AgentStatus.OK
    denials = dict.fromkeys(f"{one.tool_name} {_short(_target(one.tool_input))}" for one in last.permission_denials)
    return AgentResult(
        status=status,
        message="" if ok else _words(last) or (last.subtype if last.num_turns else NOT_ASKED),
        error_class=kind,
        notes=(last.result or "") if ok else "",
        structured=last.structured_output,
        denials=tuple(denials)[:MOST],
    )


def _status(last: _Line, named: str) -> tuple[AgentStatus, str]:
    if last.subtype in LIMITS:
        return AgentStatus.LIMIT, LIMITS[last.subtype]
    if last.subtype == "error_max_structured_output_retries":
        return AgentStatus.INVALID_OUTPUT, ""
    if last.stop_reason == "refusal":
        return AgentStatus.REFUSED, ""
    if last.is_error or last.subtype.startswith("error"):
        if named == "max_output_tokens":
            return AgentStatus.LIMIT, ""
        found = error_class(_words(last), last.api_error_status) or error_class(named)
        return AgentStatus.MODEL_ERROR, found or "connection"
    return (AgentStatus.OK if last.num_turns else AgentStatus.INVALID_OUTPUT), ""


def _words(last: _Line) -> str:
    return "; ".join(map(str, last.errors)) or last.result or ""


def _unfinished(ended: Exit, stderr: bytes) -> AgentResult:
    """No result line: it was ended, it broke, or it did not take its options."""
    complaint = COMPLAINT.search(readable(stderr))
    message = complaint.group(1) if complaint else last_line(stderr)
    if complaint and NOT_TAKEN.search(message):
        return AgentResult(status=AgentStatus.MODEL_ERROR, message=message, error_class="bad_request")
    status = AgentStatus.INVALID_OUTPUT if ended.ok else AgentStatus.CRASHED
    return AgentResult(status=status, message=message or SILENT)


def _whole(last: _Line) -> Usage:
    parts: list[_Tokens | _ModelTokens] = [*last.model_usage.values()]
    if not parts and last.usage is not None:
        parts = [last.usage]
    return Usage(
        input_tokens=sum(map(_input, parts)) if parts else None,
        output_tokens=sum(part.output_tokens or 0 for part in parts) if parts else None,
        cached_tokens=sum(part.cache_read_input_tokens or 0 for part in parts) if parts else None,
        cost_usd=last.total_cost_usd,
        cost_source="unknown" if last.total_cost_usd is None else "agent",
    )


def _input(part: _Tokens | _ModelTokens) -> int:
    counts = (part.input_tokens, part.cache_read_input_tokens, part.cache_creation_input_tokens)
    return sum(count or 0 for count in counts)


def _target(given: Any) -> str:
    """What a tool is used on, from its input."""
    members = given if isinstance(given, dict) else {}
    return next((str(members[name]) for name in TARGETS if members.get(name)), "")


def _short(text: str) -> str:
    line = " ".join(CONTROL.sub("", text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
