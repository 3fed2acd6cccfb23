"""Reading the JSON lines of `codex exec --json`."""

import re
from typing import Any

import msgspec

from branchline.agents.answer import answer_in
from branchline.agents.faults import error_class
from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, Progress, Usage
from branchline.process.output import CONTROL, last_line, readable
from branchline.process.spawn import Exit

MOST_FILES = 1000
MOST_DENIALS = 20
MOST_TOKENS = 1 << 50  # what is more is no number of tokens
NOTES = 20_000  # characters
LONGEST_PATH = 4096
MESSAGE = 2000  # characters
WORDS = 200  # characters of a command on the live line
OWN_WORDS = (
    ("auth", r"missing environment variable"),
    ("billing", r"usage limit"),  # of a subscription; it may last for days
    ("overloaded", r"high demand"),
    ("context_too_large", r"input_too_large"),
)
STATUS = re.compile(r"status:? (\d{3})\b")
REFUSAL = re.compile(r"safety|usage polic|content.?policy|cyber", re.IGNORECASE)


class CodexReader:
    """The verdict is `turn.completed` or `turn.failed`; the exit code is 0 also when every command was denied."""

    def __init__(self, request: AgentRequest, model: str = "") -> None:
        self._request, self._model = request, model
        self._session = self._doing = self._text = self._error = ""
        self._ended: str | None = None  # the type of the event that ended the turn
        self._files: dict[str, None] = {}
        self._denials: list[str] = []
        self._usage = Usage()

    @property
    def progress(self) -> Progress:
        """Its last command or change. It tells its tokens only at the end."""
        usage = self._usage
        tokens = None if usage.input_tokens is None else usage.input_tokens + (usage.output_tokens or 0)
        return Progress(doing=self._doing, files=tuple(self._files), tokens=tokens)

    def line(self, data: bytes) -> None:
        """Take an event in; what is no event, or one of an unknown kind, says nothing."""
        try:
            event = _members(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        kind = _text(event.get("type"))
        if kind == "thread.started":
            self._session = _text(event.get("thread_id"))[:WORDS]
        elif kind in {"item.started", "item.updated", "item.completed"}:
            self._item(_members(event.get("item")))
        elif kind == "error":
            self._error = _message(event)
        elif kind == "turn.failed":
            self._ended, self._error = kind, _message(_members(event.get("error"))) or self._error
        elif kind == "turn.completed":
            self._ended, self._usage = kind, _usage(_members(event.get("usage")))

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the turn's end says; without one, the last error of the stream or of stderr."""
        if self._ended == "turn.completed":
            return self._made(AgentStatus.OK)
        if self._ended is None and ended.ok:
            return self._made(AgentStatus.INVALID_OUTPUT, "its stream has no end")
        words = self._error or last_line(stderr) or f"exit code {ended.code}"
        kind = _class(words if self._error else readable(stderr))
        if self._ended is None and not kind:
            return self._made(AgentStatus.CRASHED, words)
        if not kind and REFUSAL.search(words):
            return self._made(AgentStatus.REFUSED, words)
        return self._made(AgentStatus.MODEL_ERROR, words, kind)

    def _item(self, item: dict[str, Any]) -> None:
        kind, status = _text(item.get("type")), item.get("status")
        if kind == "agent_message":
            self._text = _text(item.get("text"))
        elif kind == "command_execution":
            self._did(f"run {_text(item.get('command'))}", status)
        elif kind == "file_change":
            changes = item.get("changes")
            paths = [self._relative(_members(one).get("path")) for one in changes] if isinstance(changes, list) else []
            self._files |= dict.fromkeys(paths[: MOST_FILES - len(self._files)])
            self._did(f"edit {' '.join(paths)}", status)
        elif kind in {"mcp_tool_call", "web_search"}:
            self._did(f"{kind} {_text(item.get('tool') or item.get('query'))}", status)

    def _did(self, words: str, status: object) -> None:
        self._doing = " ".join(words.split())[:WORDS]
        if status == "declined" and len(self._denials) < MOST_DENIALS:
            self._denials.append(self._doing)

    def _relative(self, path: object) -> str:
        return _text(path).removeprefix(self._request.worktree.rstrip("/") + "/")[:LONGEST_PATH]

    def _made(self, status: AgentStatus, message: str = "", kind: str = "") -> AgentResult:
        return AgentResult(
            status=status,
            message=message[:MESSAGE],
            error_class=kind,
            notes=self._text[-NOTES:],
            usage=self._usage,
            model=self._model,
            session_id=self._session,
            # From the whole text: a plan may be longer than the notes.
            structured=None if self._request.output_schema is None else answer_in(self._text),
            denials=tuple(self._denials),
        )


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return CONTROL.sub("", value) if isinstance(value, str) else ""


def _message(error: dict[str, Any]) -> str:
    """An error's message, which may itself be the provider's answer in JSON."""
    text = _text(error.get("message"))
    try:
        inner = _members(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text
    told = _members(inner.get("error"))
    return ": ".join(filter(None, (_text(told.get("code")), _text(told.get("message"))))) or text


def _class(words: str) -> str:
    own = next((name for name, pattern in OWN_WORDS if re.search(pattern, words, re.IGNORECASE)), "")
    status = STATUS.search(words)
    return own or error_class(words, int(status.group(1)) if status else None)


def _usage(told: dict[str, Any]) -> Usage:
    """Its input tokens hold the cached ones, its output tokens those of reasoning. It tells no cost."""

    def count(name: str) -> int | None:
        value = told.get(name)
        return value if type(value) is int and 0 <= value <= MOST_TOKENS else None

    return Usage(
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        cached_tokens=count("cached_input_tokens"),
    )
