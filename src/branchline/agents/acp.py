"""Any agent that speaks the Agent Client Protocol. It asks before it writes, and is answered by the attempt's scope."""

import json
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, Literal

import msgspec

from branchline.agents.acp_runner.events import INSTALL
from branchline.agents.acp_runner.order import Order
from branchline.agents.answer import answer_in
from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid
from branchline.agents.faults import error_class
from branchline.agents.installed import Program, look
from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Progress, Usage
from branchline.core.agent_spec import AgentSpec
from branchline.core.durations import seconds
from branchline.process.output import CONTROL, last_line
from branchline.process.spawn import Exit

RUNNER = "branchline.agents.acp_runner"
ORDER_FILE = "acp.json"
ANY_VERSION = ("0", "999999999")
CHANGING = frozenset({"edit", "delete", "move"})
MOST = 1000  # files and denials that are remembered
NOTES = 20_000  # characters
WORDS = 200  # characters of what it is doing
EXAMPLE = "agents: [{id: gemini-acp, use: acp, program: gemini, args: [--acp]}]"


@dataclass(frozen=True, slots=True)
class AcpAgent:
    """The agent whose ACP server `spec.program` with `spec.args` starts; both take the placeholders of a command."""

    spec: AgentSpec
    provider: str = ""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the protocol offers; an endpoint, if the configuration says what to do with it."""
        texts = (*self.spec.args, *self.spec.env.values(), *self.spec.files.values())
        endpoint: tuple[Ability, ...] = ("endpoint",) if any("{base_url}" in text for text in texts) else ()
        return frozenset({"edit", "read", "usage", "stream", *endpoint})

    def probe(self) -> Probe:
        """Look for the library and for the agent's program."""
        if not self.spec.program:
            return Probe(available=False, hint=f"name its program: {EXAMPLE}")
        tested = (self.spec.tested[0], self.spec.tested[-1]) if self.spec.tested else ANY_VERSION
        hint = self.spec.install or f"install {self.spec.program}, or correct `program:`"
        found = look(Program(name=self.spec.program, tested=tested, install=hint))
        if not self.spec.tested:
            found = replace(found, tested=None)
        return found if find_spec("acp") else replace(found, available=False, hint=INSTALL)

    def prepare(self, request: AgentRequest) -> Invocation:
        """Our side of the conversation, a process that starts the agent. Raises InvalidInput if no program is named."""
        if not self.spec.program:
            raise invalid(self.spec, "it has no program that speaks ACP", f"name it: {EXAMPLE}")
        expansion = Expansion(self.spec, request)
        env, renamed = expansion.variables()
        order = Order(
            argv=(self.spec.program, *expansion.argv(self.spec.args)),
            worktree=request.worktree,
            # The protocol takes only valid text; a name that is none is better shown with a `?` than not at all.
            prompt=request.prompt.encode("utf-8", "replace").decode(),
            mode=request.mode,
            model="" if "{model}" in self.spec.args else self.spec.model,
            context=request.context,
            write=request.write,
            protect=request.protect,
        )
        return Invocation(
            # -P: the worktree's own files must not be taken for our modules.
            argv=(sys.executable, "-P", "-m", RUNNER, f"{request.folder}/{ORDER_FILE}"),
            env=env,
            rename_env=renamed,
            pass_env=(*((self.spec.key_env,) if self.spec.key_env else ()), *self.spec.pass_env),
            files={**expansion.files(), ORDER_FILE: json.dumps(msgspec.to_builtins(order), indent=1)},
            private_home=self.spec.home == "private",
            grace=seconds(self.spec.grace),
        )

    def reader(self, request: AgentRequest) -> "AcpReader":
        """A reader of the runner's lines."""
        return AcpReader(request, self.spec.model)


class _Line(msgspec.Struct, frozen=True):
    """Any line of the runner."""

    type: str
    id: str = ""
    kind: str | None = None
    title: str = ""
    path: str = ""
    paths: tuple[str, ...] = ()
    status: str | None = None
    reason: str = ""
    text: str = ""
    message: str = ""
    code: int | None = None
    stop_reason: Literal["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled", ""] = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None


class AcpReader:
    """The verdict is the runner's last line: `result` or `error`."""

    def __init__(self, request: AgentRequest, model: str = "") -> None:
        self._request, self._model = request, model
        self._doing = self._session = ""
        self._files: dict[str, None] = {}
        self._denials: dict[str, None] = {}
        self._usage = Usage()
        self._gave_up = False  # it said and did nothing more since it was denied something
        self._last: _Line | None = None

    @property
    def progress(self) -> Progress:
        """Its last tool, the files that it has changed, and its usage if it tells it."""
        usage = self._usage
        tokens = None if usage.input_tokens is None else usage.input_tokens + (usage.output_tokens or 0)
        return Progress(doing=self._doing, files=tuple(self._files), tokens=tokens, cost_usd=usage.cost_usd)

    def line(self, data: bytes) -> None:
        """Take an event in; what is none says nothing."""
        try:
            event = msgspec.json.decode(data, type=_Line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if event.type == "session":
            self._session = event.id
        elif event.type == "tool":
            self._tool(event)
        elif event.type == "text":
            self._gave_up = False
        elif event.type == "wrote":
            self._changed((event.path,))
        elif event.type == "denied":
            self._gave_up = True
            if len(self._denials) < MOST:
                self._denials[_short(f"{self._what(event)}: {event.reason}")] = None
        elif event.type == "usage":
            self._usage = _usage(event)
        elif event.type in {"result", "error"}:
            self._last = event

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the last line says; a stream without one is a crash, or invalid output."""
        last = self._last
        if last is None:
            status = AgentStatus.INVALID_OUTPUT if ended.ok else AgentStatus.CRASHED
            return self._made(status, last_line(stderr) or "its stream has no result")
        if last.type == "error":
            return self._made(*_failure(last))
        status, message, kind = _stopped(last, gave_up=self._gave_up)
        structured = answer_in(last.text) if self._request.output_schema is not None else None
        return self._made(status, message, kind, notes=last.text[-NOTES:], structured=structured)

    def _tool(self, event: _Line) -> None:
        if event.status == "failed":
            return
        self._gave_up = False
        self._doing = _short(self._what(event))
        if event.kind in CHANGING and event.status == "completed":
            self._changed(event.paths)

    def _what(self, event: _Line) -> str:
        return f"{event.kind or 'use'} {' '.join(map(self._relative, event.paths)) or event.title}"

    def _changed(self, paths: tuple[str, ...]) -> None:
        if len(self._files) < MOST:
            self._files |= dict.fromkeys(map(self._relative, paths))

    def _relative(self, path: str) -> str:
        return path.removeprefix(self._request.worktree.rstrip("/") + "/")

    def _made(self, status: AgentStatus, message: str = "", kind: str = "", **more: Any) -> AgentResult:
        return AgentResult(
            status=status,
            message=message,
            error_class=kind,
            usage=self._usage,
            model=self._model,
            session_id=self._session,
            denials=tuple(self._denials),
            **more,
        )


def _failure(last: _Line) -> tuple[AgentStatus, str, str]:
    """Status, message and class of an error."""
    message = CONTROL.sub("", last.message)
    match last.kind:
        case "ended" | "protocol":
            return AgentStatus.CRASHED, message, ""
        case "missing" | "unsupported":
            return AgentStatus.MODEL_ERROR, message, "bad_request"
    status = last.code if last.code is not None and 400 <= last.code < 600 else None
    return AgentStatus.MODEL_ERROR, message, error_class(message, status)


def _stopped(last: _Line, *, gave_up: bool) -> tuple[AgentStatus, str, str]:
    """Status, message and class of a turn that ended."""
    match last.stop_reason:
        case "end_turn" if not gave_up:
            return AgentStatus.OK, "", ""
        case "refusal":
            return AgentStatus.REFUSED, "the model refused", ""
        case "max_turn_requests":
            return AgentStatus.LIMIT, "it reached its limit of turns", "turns"
        case "max_tokens":
            return AgentStatus.LIMIT, "the model reached its limit of output", ""
    if gave_up:
        return AgentStatus.REFUSED, "it gave up when it was denied a tool", ""
    return AgentStatus.MODEL_ERROR, "it cancelled the turn by itself", ""


def _usage(event: _Line) -> Usage:
    return Usage(
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cached_tokens=event.cached_tokens,
        cost_usd=event.cost_usd,
        cost_source="unknown" if event.cost_usd is None else "agent",
    )


def _short(text: str) -> str:
    return " ".join(CONTROL.sub("", text).split())[:WORDS]
