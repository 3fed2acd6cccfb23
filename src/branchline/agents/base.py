"""What an agent is: how to call it, and how to read what it says. It never starts a process itself."""

from dataclasses import dataclass
from typing import Literal, Protocol

from branchline.core.model.agent import AgentRequest, AgentResult, Invocation, Progress
from branchline.core.model.agent_spec import AgentSpec
from branchline.errors import InvalidInput
from branchline.process.spawn import Exit

Ability = Literal["edit", "read", "schema", "turns", "budget", "usage", "cost", "stream", "sandbox", "endpoint"]
"""What an agent can do: edit files; be held to reading; answer by a schema; be held to turns and to money by itself;
tell its tokens and its cost; stream; confine its commands; be pointed to another endpoint (a proxy of ours)."""


class AgentMissing(InvalidInput):
    """An agent's program is not installed: trying again will not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Whether an agent can be run here. `hint` is the command that mends it, also where it can be run but had better not.

    `version` is empty if it cannot be told; `tested`: whether it lies in the range that we test with (None: unknown).
    """

    available: bool
    path: str = ""
    version: str = ""
    tested: bool | None = None
    hint: str = ""


class Reader(Protocol):
    """Reads one attempt's stream while it runs. Pure: a fold over lines, of bounded memory."""

    @property
    def progress(self) -> Progress:
        """What the stream has told so far."""

    def line(self, data: bytes) -> None:
        """Take one line of stdout in, without its newline; any bytes, also cut off ones, and unknown events."""

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the stream, the exit and the end of stderr mean together. The exit code is a hint, never the verdict."""


class Agent(Protocol):
    """A coding agent."""

    @property
    def spec(self) -> AgentSpec:
        """Its configuration; `spec.id` is the name by which plans call it."""

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do."""

    @property
    def provider(self) -> str:
        """The base URL it talks to when nobody says otherwise; empty if it cannot be told."""

    def probe(self) -> Probe:
        """Look for the agent's program on this machine; may ask it for its version."""

    def prepare(self, request: AgentRequest) -> Invocation:
        """What to spawn for a request. Pure. Raises InvalidInput if the request cannot be passed on."""

    def reader(self, request: AgentRequest) -> Reader:
        """A fresh reader for the stream of an attempt at `request`."""
