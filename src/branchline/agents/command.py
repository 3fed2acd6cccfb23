"""Any command-line agent, by configuration alone."""

import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid
from branchline.agents.installed import Program, look
from branchline.agents.stream import LAST_WORDS, StreamReader, decoded, error_class
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Usage
from branchline.core.model.agent_spec import AgentSpec, Group
from branchline.core.rules.json_path import json_path
from branchline.core.rules.linear import compiled, linear
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

LONGEST_LINE = 4000  # characters of a text line that patterns are tried on
LARGEST_JSON = 16 << 20  # bytes
TOKENS = ("input_tokens", "output_tokens", "cached_tokens")
NUMBERS = (*TOKENS, "cost_usd")
NUMBER = compiled(r"([0-9][0-9,]*+(?:\.[0-9]*+)?+)\s*+([kKM]?)")
SCALE = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
ANY = msgspec.json.Decoder()

Find = Callable[[Any], Iterable[Any]]


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
        program = self.spec.named_program
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

    def reader(self, request: AgentRequest) -> "OutputReader":
        """A reader of what it prints, by `output`."""
        return OutputReader(self.spec, request)


class OutputReader(StreamReader):
    """Folds an output into what a specification says of it."""

    def __init__(self, spec: AgentSpec, request: AgentRequest) -> None:
        super().__init__(request.worktree)
        self._spec, self._output = spec, spec.output
        in_text = self._output.format == "text"
        self._find: dict[str, Find] = {
            name: partial(_in_text, linear(where)) if in_text else json_path(where)
            for name, where in self._output.places.items()
        }
        self._numbers: dict[str, float] = {}
        self._error = self._failed = ""
        self._status: int | None = None
        self._whole = bytearray()
        self._empty = True  # nothing in its format has come yet
        self._done = not self._output.done
        self._worked = False

    def line(self, data: bytes) -> None:
        """Take a line in."""
        if self._output.format == "json":
            if len(self._whole) <= LARGEST_JSON:
                self._whole += data + b"\n"
            return
        record = decoded(data, ANY) if self._output.format == "jsonl" else None
        if isinstance(record, dict):
            self._record(record)
        else:
            self._plain_line(data)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the output and the exit mean together."""
        if self._output.format == "json":
            self._take_whole()
        telling = self._failed or self._telling(self._notes)
        self._notes = self._notes or self._noted()
        words = last_line(stderr) or last_line(bytes(self._text))
        if ended.code in self._spec.limit_codes:
            return self._made(AgentStatus.LIMIT, words or f"exit code {ended.code}: it reached its limit", "turns")
        if self._error:
            kind = error_class(self._error, self._status) or error_class(words)
            return self._made(AgentStatus.MODEL_ERROR, self._error, kind)
        if telling:
            kind = error_class(telling) or error_class(words)
            return self._made(AgentStatus.MODEL_ERROR, f"it printed {telling!r}", kind)
        if ended.code not in self._spec.ok_codes:
            message = f"exit code {ended.code}" + (f": {words}" if words else "")
            return self._made(AgentStatus.MODEL_ERROR, message, error_class(words))
        problem = "" if self._done else "its output was cut off before its end"
        if self._output.format != "text" and self._empty:
            problem = f"its output is not {self._output.format}"
        return self._made(AgentStatus.INVALID_OUTPUT if problem else AgentStatus.OK, problem)

    def _plain_line(self, data: bytes) -> None:
        self._note(data)
        text = readable(data[:LONGEST_LINE])
        self._failed = self._failed or self._telling(text)
        if self._output.format == "text":
            self._record(text)

    def _telling(self, text: str) -> str:
        """The line in a text that reports a failure, also where the exit code is 0; empty if there is none."""
        lines = (line for line in text.split("\n") if any(sign in line for sign in self._spec.fail_if_stdout))
        return next(lines, "")

    def _record(self, record: Any) -> None:
        """Take one line's values in, or the whole output's."""
        self._empty = False
        found = {name: values for name, find in self._find.items() if (values := list(find(record)))}
        if not found:
            return
        self._count(found)
        first = {name: _as_text(values[0]) for name, values in found.items()}
        self._session, self._model = first.get("session_id", self._session), first.get("model", self._model)
        self._structured = found.get("structured", [self._structured])[0]
        for value in found.get("denials", ()):
            self._denied(_as_text(value))
        self._done = self._done or "done" in found
        if "doing" in found:
            self._did(" ".join(self._relative(first[name]) for name in ("doing", "target") if name in first))
            self._worked = True
        if "message" in found:
            before = self._notes if self._output.join and not self._worked else ""
            self._notes = (before + _as_text(found["message"][0]))[-LAST_WORDS:]
            self._error, self._worked = "", False
        if error := next(filter(None, map(_as_text, found.get("error", ()))), ""):
            self._error = error
            codes = [value for value in found.get("status", ()) if type(value) is int]
            self._status = codes[0] if codes else None

    def _count(self, found: dict[str, list[Any]]) -> None:
        for name in NUMBERS:
            numbers = [number for value in found.get(name, ()) if (number := _number(value)) is not None]
            if numbers:
                before = self._numbers.get(name, 0)
                self._numbers[name] = before + sum(numbers) if self._output.add else numbers[0]
        tokens = {name: int(self._numbers[name]) for name in TOKENS if name in self._numbers}
        cost = self._numbers.get("cost_usd")
        if cost == 0 and any(tokens.values()):
            cost = None  # agents say 0 of a model whose price they do not know
        self._usage = msgspec.structs.replace(Usage(cost_usd=cost), **tokens)

    def _take_whole(self) -> None:
        """Read the one value that the output consists of; text before it is skipped."""
        whole = bytes(self._whole) if len(self._whole) <= LARGEST_JSON else b""
        starts = [0, *(match.start() for match in compiled(rb"^[\[{]", re.MULTILINE).finditer(whole))][:10]
        for start in starts:
            value = decoded(whole[start:], ANY)
            if isinstance(value, dict | list):
                self._record(value)
                return
        for line in whole[-2 * LAST_WORDS :].splitlines():
            self._plain_line(line)


def _in_text(pattern: Any, text: str) -> list[str]:
    match = pattern.search(text)
    return [] if match is None or match["value"] is None else [match["value"]]


def _as_text(value: Any) -> str:
    """A value as text: of an error object its message; empty for what says nothing, such as `false`."""
    match value:
        case str():
            return value
        case None | False:
            return ""
        case {"message": str(message)} if message:
            return message
    return msgspec.json.encode(value).decode()


def _number(value: Any) -> float | None:
    """A number of at least 0, also from text such as `2.2k` or `1,024`; None if it is none."""
    if isinstance(value, str) and (match := NUMBER.fullmatch(value.strip())):
        return float(match[1].replace(",", "")) * SCALE[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
