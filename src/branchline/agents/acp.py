"""Any agent that speaks the Agent Client Protocol. It asks before it writes, and is answered by the attempt's scope."""

import json
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Literal

import msgspec

from branchline.agents.acp_runner.order import INSTALL, Order
from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid, plain
from branchline.agents.installed import Program, look
from branchline.agents.stream import StreamReader, decoded, error_class
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.process.spawn import Exit

RUNNER = "branchline.agents.acp_runner"
ORDER_FILE = "acp.json"
CHANGING = frozenset({"edit", "delete", "move"})
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
        hint = self.spec.install or f"install {self.spec.program}, or correct `program:`"
        found = look(Program(name=self.spec.program, tested=self.spec.tested, install=hint))
        return found if find_spec("acp") else replace(found, available=False, hint=INSTALL)

    def prepare(self, request: AgentRequest) -> Invocation:
        """Our side of the conversation, a process that starts the agent. Raises InvalidInput if no program is named."""
        if not self.spec.program:
            raise invalid(self.spec, "it has no program that speaks ACP", f"name it: {EXAMPLE}")
        expansion = Expansion(self.spec, request)
        order = Order(
            argv=(self.spec.program, *expansion.argv(self.spec.args)),
            prompt=plain(request.prompt),
            mode=request.mode,
            model="" if "{model}" in self.spec.args else self.spec.model,
            context=request.context,
            write=request.write,
            protect=request.protect,
        )
        made = Invocation(
            # -P: the worktree's own files must not be taken for our modules.
            argv=(sys.executable, "-P", "-m", RUNNER, f"{request.folder}/{ORDER_FILE}"),
            pass_env=(self.spec.key_env,) if self.spec.key_env else (),
            files={**expansion.files(), ORDER_FILE: json.dumps(msgspec.to_builtins(order), indent=1)},
        )
        return expansion.complete(made)

    def reader(self, request: AgentRequest) -> "AcpReader":
        """A reader of the runner's lines."""
        return AcpReader(request.worktree, self.spec.model)


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
    usage: Usage = Usage()


LINES = msgspec.json.Decoder(_Line)


class AcpReader(StreamReader):
    """The verdict is the runner's last line: `result` or `error`."""

    _gave_up = False  # it said and did nothing more since it was denied something
    _last: _Line | None = None

    def line(self, data: bytes) -> None:
        """Take an event in; what is none says nothing."""
        event = decoded(data, LINES)
        if event is None:
            return
        if event.type == "session":
            self._session = event.id
        elif event.type == "tool" and event.status != "failed":
            self._gave_up = False
            self._did(self._what(event))
            if event.kind in CHANGING and event.status == "completed":
                self._changed(*event.paths)
        elif event.type == "text":
            self._gave_up = False
        elif event.type == "wrote":
            self._changed(event.path)
        elif event.type == "denied":
            self._gave_up = True
            self._denied(f"{self._what(event)}: {event.reason}")
        elif event.type == "usage":
            self._usage = event.usage
        elif event.type in {"result", "error"}:
            self._last, self._notes = event, event.text

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the last line says; a stream without one is a crash, or invalid output."""
        last = self._last
        if last is None:
            return self._without_result(ended, stderr)
        if last.type != "error":
            return self._made(*_stopped(last, gave_up=self._gave_up))
        if last.kind in {"ended", "protocol"}:
            return self._made(AgentStatus.CRASHED, last.message)
        status = last.code if last.code is not None and 400 <= last.code < 600 else None
        ours = last.kind in {"missing", "unsupported"}
        found = "bad_request" if ours else error_class(last.message, status)
        return self._made(AgentStatus.MODEL_ERROR, last.message, found)

    def _what(self, event: _Line) -> str:
        return f"{event.kind or 'use'} {' '.join(map(self._relative, event.paths)) or event.title}"


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
