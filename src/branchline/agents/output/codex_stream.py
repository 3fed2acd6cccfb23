"""Reading the JSON lines of `codex exec --json`."""

import re
from typing import Any

import msgspec

from branchline.agents.output.faults import error_class
from branchline.agents.output.stream import MOST, StreamReader, decoded, members
from branchline.core.model.agent import AgentResult, AgentStatus, Usage
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

LONGEST_PATH = 4096
MOST_TOKENS = 1 << 50  # what is more is no number of tokens
STATUS = re.compile(r"status:? (\d{3})\b")
REFUSAL = re.compile(r"safety|usage polic|content.?policy|cyber", re.IGNORECASE)
OBJECTS = msgspec.json.Decoder(dict[str, Any])


class CodexReader(StreamReader):
    """The verdict is `turn.completed` or `turn.failed`; the exit code is 0 also when every command was denied.

    It tells its tokens only at the end.
    """

    def __init__(self, worktree: str, model: str = "") -> None:
        super().__init__(worktree, model)
        self._error = ""
        self._ended: str | None = None  # the type of the event that ended the turn

    def line(self, data: bytes) -> None:
        """Take an event in; what is no event, or one of an unknown kind, says nothing."""
        event = decoded(data, OBJECTS) or {}
        kind = _text(event.get("type"))
        if kind == "thread.started":
            self._session = _text(event.get("thread_id"))
        elif kind in {"item.started", "item.updated", "item.completed"}:
            self._item(members(event.get("item")))
        elif kind == "error":
            self._error = _message(event)
        elif kind == "turn.failed":
            self._ended, self._error = kind, _message(members(event.get("error"))) or self._error
        elif kind == "turn.completed":
            self._ended, self._usage = kind, _usage(members(event.get("usage")))

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the turn's end says; without one, the last error of the stream or of stderr."""
        if self._ended == "turn.completed":
            return self._made(AgentStatus.OK)
        if self._ended is None and ended.ok:
            return self._without_result(ended, b"")
        words = self._error or last_line(stderr) or f"exit code {ended.code}"
        told = self._error or readable(stderr)
        status = STATUS.search(told)
        kind = error_class(told, int(status[1]) if status else None)
        if self._ended is None and not kind:
            return self._made(AgentStatus.CRASHED, words)
        if not kind and REFUSAL.search(words):
            return self._made(AgentStatus.REFUSED, words)
        return self._made(AgentStatus.MODEL_ERROR, words, kind)

    def _item(self, item: dict[str, Any]) -> None:
        kind, declined = _text(item.get("type")), item.get("status") == "declined"
        if kind == "agent_message":
            self._notes = _text(item.get("text"))
        elif kind == "command_execution":
            self._tool(f"run {_text(item.get('command'))}", declined=declined)
        elif kind == "file_change":
            changes = item.get("changes")
            given = [_text(members(one).get("path")) for one in changes] if isinstance(changes, list) else []
            paths = [self._relative(path)[:LONGEST_PATH] for path in given[:MOST]]
            self._changed(*paths)
            self._tool(f"edit {' '.join(paths)}", declined=declined)
        elif kind in {"mcp_tool_call", "web_search"}:
            self._tool(f"{kind} {_text(item.get('tool') or item.get('query'))}", declined=declined)

    def _tool(self, words: str, *, declined: bool) -> None:
        self._did(words)
        if declined:
            self._denied(words)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _message(error: dict[str, Any]) -> str:
    """An error's message, which may itself be the provider's answer in JSON."""
    text = _text(error.get("message"))
    told = members((decoded(text, OBJECTS) or {}).get("error"))
    return ": ".join(filter(None, (_text(told.get("code")), _text(told.get("message"))))) or text


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
