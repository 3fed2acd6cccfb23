"""Anthropic's Claude Code, driven by `claude -p`."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion
from branchline.agents.installed import Program, look_with_key
from branchline.agents.stream import StreamReader, decoded, error_class, members
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, ContextFile, Invocation, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.rules.linear import compiled
from branchline.process.output import readable
from branchline.process.spawn import Exit

ANTHROPIC = "https://api.anthropic.com"
CLAUDE = Program(name="claude", tested=("2.1.197", "2.1.330"), install="npm install -g @anthropic-ai/claude-code")
KEY = "ANTHROPIC_API_KEY"
KEYS = (KEY, "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
ADDRESS = "ANTHROPIC_BASE_URL"
ENVIRONMENT = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
    # Its own instructions for commits and pull requests: 7 KB of every prompt, and not its business here.
    "CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS": "1",
    # A command that it leaves running would change files after its answer.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # By itself: another request is cheaper than another attempt. Its own ten would hide for minutes what is wrong.
    "CLAUDE_CODE_MAX_RETRIES": "3",
}
READING, EDITING = "Read,Glob,Grep", "Read,Glob,Grep,Edit,Write,Bash"
NOT_UNDERSTOOD = ("$schema", "format")
MENTIONED = 30_000  # tokens; every turn pays for what is mentioned, and it reads by itself what else it needs
TOKENS_A_LINE = 12
FEWEST_LINES = 4  # of a part that is worth a mention; shorter ones are heads of definitions, which the prompt lists
PLAIN_PATH = compiled(r"[\w.+-][\w./+ -]*")
EDITORS = frozenset({"Edit", "Write", "NotebookEdit"})
TARGETS = ("file_path", "notebook_path", "command", "pattern")
MOST_CALLS = 1000  # that are open
LIMITS = {"error_max_turns": "turns", "error_max_budget_usd": "budget"}
NOT_ASKED = "it did not ask the model"
# JavaScript cuts a text between the halves of a character, and prints the half as it is.
LONE_HALF = compiled(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]..")
COMPLAINT = compiled(r"^(?:Claude Code could not start|error): *+(\S.*)", re.IGNORECASE | re.MULTILINE)
NOT_TAKEN = compiled(r"unknown option|invalid|not a valid", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """Claude Code with an API key, or with `home: user` the login of the user."""

    spec: AgentSpec
    abilities: frozenset[Ability] = frozenset(
        {"edit", "read", "schema", "turns", "budget", "usage", "cost", "stream", "endpoint"}
    )

    @property
    def provider(self) -> str:
        """Anthropic, if neither the configuration nor the environment names another address."""
        return self.spec.base_url or os.environ.get(ADDRESS, ANTHROPIC)

    def probe(self) -> Probe:
        """Look for `claude`, and see whether there is a key (another home may hold a login)."""
        keys = (self.spec.key_env,) if self.spec.key_env else (*KEYS, *self.spec.pass_env)
        return look_with_key(self.spec, CLAUDE, keys)

    def prepare(self, request: AgentRequest) -> Invocation:
        """`claude -p` with the prompt on stdin. Raises InvalidInput for a prompt that says nothing."""
        expansion = Expansion(self.spec, request)
        address = request.endpoint or self.spec.base_url
        # Files that are mentioned so are read before the first turn. What begins with `/` would be a command of its own.
        mentions = "\n\n" + " ".join(told) if (told := [*_mentions(request.context)]) else ""
        # With a login, a key in the environment would be billed instead of it.
        keys = ("CLAUDE_CONFIG_DIR",) if self.spec.home == "user" else () if self.spec.key_env else KEYS
        made = Invocation(
            argv=(self.spec.program or CLAUDE.name, *self._options(request), *self.spec.args),
            env={**ENVIRONMENT, "CLAUDE_CODE_TMPDIR": f"{request.folder}/claude"},  # what it would leave in /tmp
            pass_env=(*keys, *(() if address else (ADDRESS,))),
            rename_env={KEY: self.spec.key_env} if self.spec.key_env else {},
            stdin=("\n" if expansion.prompt.startswith("/") else "") + expansion.prompt + mentions,
        )
        made = expansion.complete(made)
        return msgspec.structs.replace(made, env={**made.env, ADDRESS: address}) if address else made

    def reader(self, request: AgentRequest) -> "ClaudeReader":
        """A reader of its JSON lines."""
        return ClaudeReader(request.worktree)

    def _options(self, request: AgentRequest) -> Iterator[str]:
        yield from ("-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence")
        # The repository's own settings would run its hooks, and could send our key to another address.
        yield from ("--safe-mode", "--setting-sources", "user")
        if request.mode == "read":
            # Not `plan`: that tells the model to write its plan into a file and to start other agents.
            yield from ("--tools", READING, "--permission-mode", "dontAsk")
        else:
            # Edits outside the worktree are denied; of commands it would otherwise allow next to none.
            yield from ("--tools", EDITING, "--allowedTools", "Bash", "--permission-mode", "acceptEdits")
        if self.spec.model:
            yield from ("--model", self.spec.model)
        if request.limits.turns is not None:
            yield from ("--max-turns", str(request.limits.turns))
        if request.limits.usd is not None:
            yield from ("--max-budget-usd", f"{request.limits.usd:.6f}")
        if request.output_schema is not None:
            yield from ("--json-schema", json.dumps(_understood(request.output_schema), separators=(",", ":")))


def _mentions(context: Iterable[ContextFile]) -> Iterator[str]:
    """Whole files, and parts of files by their lines, the likeliest first, as long as there is room."""
    room = MENTIONED
    for file in context:
        parts = [span for span in file.spans if span.end - span.start + 1 >= FEWEST_LINES]
        lines = sum(span.end - span.start + 1 for span in parts)
        cost = file.tokens if file.form == "full" else lines * TOKENS_A_LINE
        if not PLAIN_PATH.fullmatch(file.path) or cost > room or file.form == "outline":
            continue
        room -= cost
        spans = [""] if file.form == "full" else [f"#L{span.start}-{span.end}" for span in parts]
        yield from (f'@"{file.path}{span}"' for span in spans)


def _understood(schema: Any) -> Any:
    """The schema without what its validator does not know: older versions then drop the schema, newer ones end."""
    if isinstance(schema, list):
        return [_understood(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # An object's member may be named `format`; behind it stands a schema, not a text.
    unknown = {name for name in NOT_UNDERSTOOD if isinstance(schema.get(name), str)}
    return {name: _understood(one) for name, one in schema.items() if name not in unknown}


class _Tokens(msgspec.Struct, frozen=True):
    """Of one answer of the model, or of all. What was read from or written to the cache is not in `input_tokens`."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0


class _ModelTokens(msgspec.Struct, frozen=True, rename="camel"):
    """Of one model in the whole attempt; the same under other names."""

    input_tokens: int | None = 0
    output_tokens: int | None = 0
    cache_read_input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0


class _Block(msgspec.Struct, frozen=True):
    """A part of a message: a text, a call of a tool, or what came of one."""

    type: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    is_error: bool | None = None


class _Message(msgspec.Struct, frozen=True):
    id: str = ""
    model: str = ""
    content: str | list[_Block] = ""
    usage: _Tokens | None = None


class _Denial(msgspec.Struct, frozen=True):
    tool_name: str = ""
    tool_input: Any = None


class _Line(msgspec.Struct, frozen=True):
    """Any line; which of these members it has depends on its type."""

    type: str = ""
    subtype: str = ""
    session_id: str = ""
    message: _Message | str | None = None
    error: Any = None
    is_error: bool = False
    api_error_status: int | None = None
    num_turns: int | None = None
    result: str | None = None
    errors: list[Any] = []
    stop_reason: str | None = None
    structured_output: Any = None
    total_cost_usd: float | None = None
    usage: _Tokens | None = None
    model_usage: dict[str, _ModelTokens] = msgspec.field(default={}, name="modelUsage")
    permission_denials: list[_Denial] = []


LINES = msgspec.json.Decoder(_Line)


class ClaudeReader(StreamReader):
    """The verdict is the line of type `result`. The exit code follows it, and `subtype` may say success of an error.

    On the way it tells how many tokens went in; those that came out, and the cost, it tells at its end.
    """

    def __init__(self, worktree: str) -> None:
        super().__init__(worktree)
        self._calls: dict[str, str] = {}  # of editors: the path of each call that has no result yet
        self._answer = self._named_error = ""
        self._result: _Line | None = None

    def line(self, data: bytes) -> None:
        """Take a line in; one that is no event changes nothing."""
        line = decoded(data, LINES)
        if line is None:
            line = decoded(LONE_HALF.sub(rb"\\ufffd", data.decode("utf-8", "replace").encode()), LINES)
        if line is None:
            return
        self._session = line.session_id or self._session
        if line.type == "result":
            parts: list[_Tokens | _ModelTokens] = [*line.model_usage.values()]
            if not parts and line.usage is not None:
                parts = [line.usage]
            self._result, self._structured = line, line.structured_output
            self._usage = Usage(
                input_tokens=sum(map(_input, parts)) if parts else None,
                output_tokens=sum(part.output_tokens or 0 for part in parts) if parts else None,
                cached_tokens=sum(part.cache_read_input_tokens or 0 for part in parts) if parts else None,
                cost_usd=line.total_cost_usd,
            )
            for one in line.permission_denials:
                self._denied(f"{one.tool_name} {_target(one.tool_input)}")
        elif isinstance(line.message, _Message):
            self._heard(line, line.message)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the result line says, or why there is none."""
        if self._result is None:  # it was ended, it broke, or it did not take its options
            complaint = COMPLAINT.search(readable(stderr))
            told = complaint.group(1) if complaint else ""
            if NOT_TAKEN.search(told):
                return self._made(AgentStatus.MODEL_ERROR, told, "bad_request")
            return self._without_result(ended, stderr, told)
        last, words = self._result, _problem(self._result)
        status, kind = _status(last, self._named_error)
        if status is AgentStatus.OK:
            self._notes = last.result or ""
            return self._made(status)
        return self._made(status, words or (last.subtype if last.num_turns else NOT_ASKED), kind)

    def _heard(self, line: _Line, message: _Message) -> None:
        for block in message.content if isinstance(message.content, list) else ():
            if block.type == "tool_use":
                target = self._relative(_target(block.input))
                self._did(f"{block.name} {target}")
                if block.name in EDITORS and len(self._calls) < MOST_CALLS:
                    self._calls[block.id] = target
            elif block.type == "tool_result":
                path = self._calls.pop(block.tool_use_id, None)
                if path is not None and not block.is_error:
                    self._changed(path)
        if line.type == "assistant":
            self._named_error = line.error if isinstance(line.error, str) else ""
            if not message.model.startswith("<"):  # `<synthetic>` is Claude Code itself
                self._model = message.model or self._model
                used = message.usage  # of the whole answer, on the line of each of its parts
                if used is not None and message.id != self._answer and self._result is None:
                    self._answer = message.id
                    self._add(input_tokens=_input(used), cached_tokens=used.cache_read_input_tokens or 0)


def _status(last: _Line, named: str) -> tuple[AgentStatus, str]:
    if last.subtype in LIMITS:
        return AgentStatus.LIMIT, LIMITS[last.subtype]
    if last.subtype == "error_max_structured_output_retries":
        return AgentStatus.INVALID_OUTPUT, ""
    if last.stop_reason == "refusal":
        return AgentStatus.REFUSED, ""
    if last.is_error or last.subtype.startswith("error"):
        if named == "max_output_tokens":
            return AgentStatus.LIMIT, ""
        found = error_class(_problem(last), last.api_error_status) or error_class(named)
        return AgentStatus.MODEL_ERROR, found or "connection"
    return (AgentStatus.OK if last.num_turns else AgentStatus.INVALID_OUTPUT), ""


def _problem(last: _Line) -> str:
    return "; ".join(map(str, last.errors)) or last.result or ""


def _input(part: _Tokens | _ModelTokens) -> int:
    counts = (part.input_tokens, part.cache_read_input_tokens, part.cache_creation_input_tokens)
    return sum(count or 0 for count in counts)


def _target(given: Any) -> str:
    """What a tool is used on, from its input."""
    return next((str(found) for name in TARGETS if (found := members(given).get(name))), "")
