"""The built-in agent: it does what a script says. It needs no key and no network, and makes demo and tests real."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from branchline._version import __version__
from branchline.agents.base import Probe
from branchline.core.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Usage
from branchline.process.output import last_line
from branchline.process.spawn import Exit

RUNNER = str(Path(__file__).with_name("scripted_runner.py"))


class _Result(msgspec.Struct, frozen=True, tag="result"):
    status: str
    message: str = ""
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class ScriptedAgent:
    """Performs the request's actions, in order, in the worktree; an empty script does nothing and succeeds."""

    name: str = "scripted"

    def probe(self) -> Probe:
        """Always available: it is part of Branchline and runs on the same Python."""
        return Probe(available=True, path=RUNNER, version=__version__)

    def prepare(self, request: AgentRequest) -> Invocation:
        """One Python process that reads the script from the attempt's folder."""
        script = json.dumps(msgspec.to_builtins(request.script), indent=1)
        argv = (sys.executable, "-I", "-S", RUNNER, f"{request.folder}/script.json")
        return Invocation(argv=argv, files={"script.json": script})

    def parse(self, ended: Exit, stdout: bytes, stderr: bytes) -> AgentResult:
        """The verdict is the last line of its stream; a stream without one is a crash or invalid output."""
        line = stdout.rstrip(b"\n").rpartition(b"\n")[2]
        try:
            result = msgspec.json.decode(line, type=_Result)
        except msgspec.DecodeError:
            status = AgentStatus.INVALID_OUTPUT if ended.ok else AgentStatus.CRASHED
            return AgentResult(status=status, message=last_line(stderr) or "its stream has no result")
        status = AgentStatus.OK if result.status == "ok" and ended.ok else AgentStatus.MODEL_ERROR
        return AgentResult(status=status, message=result.message, usage=result.usage)
