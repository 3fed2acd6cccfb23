"""What the real agents printed, recorded: tests/fixtures/agents/<agent>/<case>.{json,stdout,stderr}."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from branchline.agents.base import Agent
from branchline.core.model.agent import AgentRequest, AgentResult
from branchline.process.spawn import Exit

FOLDER = Path(__file__).parent / "fixtures" / "agents"


def lines(stdout: bytes) -> Iterator[bytes]:
    """The lines of an output, the last one also without its newline."""
    yield from stdout.removesuffix(b"\n").split(b"\n") if stdout else ()


def parse(agent: Agent, request: AgentRequest, ended: Exit, stdout: bytes, stderr: bytes) -> AgentResult:
    """The result of a whole recorded output: the same reader, fed at once."""
    reader = agent.reader(request)
    for line in lines(stdout):
        reader.line(line)
    return reader.result(ended, stderr)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One run of a real agent: what it was asked, what it printed, how it ended."""

    request: AgentRequest
    stdout: bytes
    stderr: bytes
    ended: Exit

    def parsed_by(self, agent: Agent) -> AgentResult:
        return parse(agent, self.request, self.ended, self.stdout, self.stderr)

    def cut_off(self, agent: Agent, ended: Exit) -> Iterator[AgentResult]:
        """What is read of it when the stream ends after any of its bytes but the last line's end."""
        for length in range(len(self.stdout.rstrip())):
            yield parse(agent, self.request, ended, self.stdout[:length], b"")


def recording(agent: str, case: str) -> Recording:
    told = json.loads((FOLDER / agent / f"{case}.json").read_text())
    return Recording(
        request=AgentRequest(
            run_id="r",
            workstream="ws",
            round=1,
            attempt=1,
            prompt="Do it.",
            worktree="/w",
            folder="/h",
            mode=told["mode"],
            output_schema=told.get("output_schema"),
        ),
        stdout=(FOLDER / agent / f"{case}.stdout").read_bytes(),
        stderr=(FOLDER / agent / f"{case}.stderr").read_bytes(),
        ended=Exit(told["code"], told["signal"], told["reason"], 1.0),
    )


def cases(agent: str) -> list[str]:
    return sorted(path.stem for path in (FOLDER / agent).glob("*.json"))
