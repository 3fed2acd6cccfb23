"""Any command-line agent, by configuration alone."""

import os
from dataclasses import dataclass

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid
from branchline.agents.installed import Program, look
from branchline.agents.output.output_reader import OutputReader
from branchline.core.model.agent import AgentRequest, Invocation
from branchline.core.model.agent_spec import AgentSpec, Group


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """An agent that is a command. `config.checks` has seen to it that its specification makes sense."""

    spec: AgentSpec

    @property
    def abilities(self) -> frozenset[Ability]:
        """What its specification says that it can do."""
        output, named = self.spec.output, {*self.spec.env.values(), *self.spec.files.values()}
        for template in (self.spec.command, self.spec.read_command):
            for part in template or ():
                named |= {*part.as_} if isinstance(part, Group) else {part}
        said: dict[Ability, bool] = {
            "edit": True,
            "read": self.spec.read_command is not msgspec.UNSET,
            "schema": not named.isdisjoint({"{schema}", "{schema_file}"}),
            "turns": "{max_turns}" in named,
            "budget": "{max_usd}" in named,
            "usage": bool(output.input_tokens or output.output_tokens),
            "cost": bool(output.cost_usd),
            "stream": bool(output.doing),
            "endpoint": any("{base_url}" in text for text in named),
        }
        return frozenset(ability for ability, able in said.items() if able)

    @property
    def provider(self) -> str:
        """As its specification says."""
        return self.spec.provider

    def probe(self) -> Probe:
        """Look the program up on PATH, and ask it for its version if the specification says how.

        A relative path is the worktree's: it cannot be known before the run.
        """
        first = (self.spec.command or ("",))[0]
        program = self.spec.program or (first.as_[0] if isinstance(first, Group) else first)
        if os.path.dirname(program) and not os.path.isabs(program):
            return Probe(available=True, path=program)
        install = self.spec.install or f"install {program}, or correct the command of agent {self.spec.id}"
        asking = self.spec.version[1:] if self.spec.version else None
        return look(Program(name=program, tested=self.spec.tested, install=install, version=asking))

    def prepare(self, request: AgentRequest) -> Invocation:
        """The command with its placeholders filled in. Raises InvalidInput if the request fits no command of it."""
        try:
            request.prompt.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise invalid(self.spec, f"the prompt is no text at character {error.start}", "correct it") from error
        template = self.spec.command if request.mode == "edit" else self.spec.read_command
        if isinstance(template, msgspec.UnsetType):
            hint = "set read_command: to a command that changes no file, or name another agent"
            raise invalid(self.spec, "it cannot be held to reading", hint)
        expansion = Expansion(self.spec, request)
        first, *rest = expansion.argv(template)
        made = Invocation(
            argv=(self.spec.program or first, *rest, *self.spec.args),
            files=expansion.files(),
            stdin=request.prompt if self.spec.stdin else None,
        )
        return expansion.complete(made)

    def reader(self, request: AgentRequest) -> OutputReader:
        """A reader of what it prints, by `output`."""
        return OutputReader(self.spec, request)
