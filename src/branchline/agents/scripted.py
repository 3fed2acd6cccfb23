"""The built-in agent: it does what a script says. It needs no key and no network, and makes demo and tests real."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from branchline._version import __version__
from branchline.agents.base import Ability, Probe
from branchline.agents.stream import StreamReader, decoded
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Usage
from branchline.core.model.agent_spec import SCRIPTED, AgentSpec
from branchline.process.spawn import Exit

OWN = AgentSpec(id=SCRIPTED, use=SCRIPTED)
RUNNER = str(Path(__file__).with_name("scripted_runner.py"))


class _Line(msgspec.Struct, frozen=True):
    """Any line of the runner: an action, or at last the result."""

    type: str = ""
    action: Any = None
    status: str = ""
    message: str = ""
    structured: Any = None
    usage: Usage = Usage()


LINES = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True)
class ScriptedAgent:
    """Performs the request's actions, in order, in the worktree; an empty script does nothing and succeeds."""

    spec: AgentSpec = OWN
    abilities: frozenset[Ability] = frozenset({"edit", "read", "schema", "usage", "cost", "stream"})
    provider: str = ""

    def probe(self) -> Probe:
        """Always available: it is part of Branchline and runs on the same Python."""
        return Probe(available=True, path=RUNNER, version=__version__, tested=True)

    def prepare(self, request: AgentRequest) -> Invocation:
        """One Python process that reads the script from the attempt's folder.

        The script is the workstream's, or that of the agent's own configuration for this call.
        """
        own = self.spec.scripts[request.round - 1] if request.round <= len(self.spec.scripts) else ()
        script = json.dumps(msgspec.to_builtins(request.script or own), indent=1)
        argv = (sys.executable, "-I", "-S", RUNNER, f"{request.folder}/script.json")
        return Invocation(argv=argv, files={"script.json": script})

    def reader(self, request: AgentRequest) -> "ScriptedReader":  # noqa: ARG002 - the protocol's signature
        """A reader of the runner's lines."""
        return ScriptedReader()


class ScriptedReader(StreamReader):
    """The verdict is the last line of the stream; a stream without one is a crash or invalid output."""

    _last: _Line | None = None

    def line(self, data: bytes) -> None:
        """Take a line in; one that is not the runner's makes what came before it no verdict."""
        self._last = last = decoded(data, LINES)
        if last is not None:
            self._did(_words(last.action) or self._doing)
            self._usage = last.usage if last.usage != Usage() else self._usage
            self._structured = last.structured

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the last line says."""
        if self._last is None or self._last.type != "result":
            return self._without_result(ended, stderr)
        ok = self._last.status == "ok" and ended.ok
        return self._made(AgentStatus.OK if ok else AgentStatus.MODEL_ERROR, self._last.message)


def _words(action: object) -> str:
    """An action in two words: `write a.txt`."""
    if not isinstance(action, dict):
        return str(action or "")
    ((name, value),) = action.items()
    return f"{name} {value['path']}" if isinstance(value, dict) and "path" in value else str(name)
