"""Any command-line agent, by configuration alone."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from branchline.agents.base import Probe
from branchline.core.agent import (
    PLACEHOLDERS,
    AgentRequest,
    AgentResult,
    AgentSpec,
    AgentStatus,
    Invocation,
    unknown_placeholders,
)
from branchline.errors import InvalidInput
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

LONGEST_ARGUMENT = 128 * 1024 - 1  # bytes; Linux's own limit for one argument
NOTES_BYTES = 4000


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """An agent that is a command. Raises InvalidInput if its specification makes no sense."""

    spec: AgentSpec

    def __post_init__(self) -> None:
        if unknown := unknown_placeholders(self.spec.command):
            raise self._invalid(f"unknown placeholder {unknown[0]}", f"use one of {' '.join(PLACEHOLDERS)}")
        if "{model}" in self.spec.command and not self.spec.model:
            raise self._invalid("its command has {model}, but no model is set", "set `model:` or drop the argument")

    @property
    def name(self) -> str:
        """The id given in the configuration."""
        return self.spec.id

    def probe(self) -> Probe:
        """Look the program up on PATH. A relative path is the worktree's: it cannot be known before the run."""
        program = self.spec.command[0]
        if os.path.dirname(program) and not os.path.isabs(program):
            return Probe(available=True, path=program)
        path = shutil.which(program)
        if path is None:
            return Probe(available=False, hint=f"install {program}, or correct the command of agent {self.name}")
        return Probe(available=True, path=path)

    def prepare(self, request: AgentRequest) -> Invocation:
        """The command with its placeholders filled in. Raises InvalidInput if a value fits no argument."""
        try:
            request.prompt.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise self._invalid(f"the prompt is no text at character {error.start}", "correct it") from error
        values = {
            "{prompt}": request.prompt,
            "{prompt_file}": str(Path(request.folder, "prompt.md")),
            "{worktree}": request.worktree,
            "{model}": self.spec.model,
            "{workstream}": request.workstream,
            "{round}": str(request.round),
        }
        return Invocation(
            argv=tuple(self._argument(part, values) for part in self.spec.command),
            env=self.spec.env,
            pass_env=self.spec.pass_env,
            files={"prompt.md": request.prompt},
            stdin=request.prompt if self.spec.stdin else None,
            private_home=self.spec.home == "private",
        )

    def parse(self, ended: Exit, stdout: bytes, stderr: bytes) -> AgentResult:
        """OK if the exit code is a good one and stdout holds none of the texts that mean failure."""
        notes = readable(stdout[-NOTES_BYTES:])
        telling = next((text for text in self.spec.fail_if_stdout if os.fsencode(text) in stdout), None)
        if telling is not None:
            return AgentResult(status=AgentStatus.MODEL_ERROR, message=f"it printed {telling!r}", notes=notes)
        if ended.code in self.spec.ok_codes:
            return AgentResult(status=AgentStatus.OK, notes=notes)
        words = last_line(stderr) or last_line(stdout)
        message = f"exit code {ended.code}" + (f": {words}" if words else "")
        return AgentResult(status=AgentStatus.MODEL_ERROR, message=message, notes=notes)

    def _argument(self, part: str, values: Mapping[str, str]) -> str:
        value = values.get(part, part)
        if "\0" in value:
            raise self._invalid(f"{part} holds a NUL character, which no command can take", "remove it")
        if len(os.fsencode(value)) > LONGEST_ARGUMENT:
            raise self._invalid(f"{part} is longer than an argument may be", "pass {prompt_file}, or stdin: '{prompt}'")
        return value

    def _invalid(self, what: str, hint: str) -> InvalidInput:
        return InvalidInput(f"agent {self.name}: {what}", hint=hint)
