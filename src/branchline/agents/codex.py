"""OpenAI's Codex, driven by `codex exec`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, plain
from branchline.agents.installed import Program, look_with_key
from branchline.agents.stream import MOST, StreamReader, decoded, error_class, members
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, Usage
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.rules.linear import compiled
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

OPENAI = "https://api.openai.com/v1"
CODEX = Program(
    name="codex",
    tested=("0.169.0", "0.169.0"),
    install="npm install -g @openai/codex@0.169.0",
    trial=("sandbox", "--", "true"),  # where its sandbox does not work, it ends well and has done nothing
    mend="codex sandbox -- true",
)
SCHEMA_FILE = "schema.json"
RETRIES = 3  # by Codex itself: another request is cheaper than another attempt
SETTINGS = {
    "sandbox_mode": "workspace-write",
    "approval_policy": "never",
    "analytics.enabled": False,
    "check_for_update_on_startup": False,
    "web_search": "disabled",
    # Features that call home, run somebody else's commands, start more agents, or wait for ever.
    "features.apps": False,
    "features.goals": False,
    "features.hooks": False,
    "features.multi_agent": False,
    "features.plugins": False,
    "features.unbounded_connection_retries": False,
    # /tmp may be written by default; an attempt has a folder of its own for that.
    "sandbox_workspace_write.exclude_slash_tmp": True,
    "sandbox_workspace_write.network_access": False,
    # The commands that the model runs need no key of ours.
    "shell_environment_policy.ignore_default_excludes": False,
}
LONGEST_PATH = 4096
MOST_TOKENS = 1 << 50  # what is more is no number of tokens
STATUS = compiled(r"status:? (\d{3})\b")
REFUSAL = compiled(r"safety|usage polic|content.?policy|cyber", re.IGNORECASE)
OBJECTS = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Codex:
    """Codex with an API key, or with `home: user` the login of the user."""

    spec: AgentSpec
    abilities: frozenset[Ability] = frozenset({"edit", "read", "schema", "usage", "stream", "sandbox", "endpoint"})

    @property
    def provider(self) -> str:
        """OpenAI; with `home: user` it cannot be told, since it depends on the kind of login."""
        return self.spec.base_url or ("" if self.spec.home == "user" else OPENAI)

    def probe(self) -> Probe:
        """Look for `codex`, try its sandbox, and see whether there is a key (another home may hold a login)."""
        return look_with_key(self.spec, CODEX, (self._key,))

    def prepare(self, request: AgentRequest) -> Invocation:
        """`codex exec` with the prompt on stdin, confined by its own sandbox to the worktree, or for mode read to reading.

        Raises InvalidInput if the prompt is empty.
        """
        expansion, schema = Expansion(self.spec, request), request.output_schema
        made = Invocation(
            argv=(self.spec.program or CODEX.name, "exec", *self._options(request), *self.spec.args, "-"),
            pass_env=(self._key, *(("CODEX_HOME",) if self.spec.home == "user" else ())),
            files={} if schema is None else {SCHEMA_FILE: json.dumps(schema, indent=1)},
            stdin=plain(expansion.prompt),
        )
        return expansion.complete(made)

    def reader(self, request: AgentRequest) -> "CodexReader":
        """A reader of its JSON lines."""
        return CodexReader(request.worktree, self.spec.model)

    @property
    def _key(self) -> str:
        return self.spec.key_env or "OPENAI_API_KEY"

    def _options(self, request: AgentRequest) -> Iterator[str]:
        yield from ("--json", "--ephemeral", "--ignore-user-config", "--ignore-rules", "--skip-git-repo-check")
        if not request.own_sandbox:
            yield from ("--sandbox", "danger-full-access")
        elif request.mode == "read":
            yield from ("--sandbox", "read-only")  # counts before `sandbox_mode`, which `args` may change
        if self.spec.model:
            yield from ("--model", self.spec.model)
        if request.output_schema is not None:
            yield from ("--output-schema", f"{request.folder}/{SCHEMA_FILE}")
        for name, value in (SETTINGS | self._provider_settings(request)).items():
            # JSON's strings, numbers and booleans are TOML's too.
            yield from ("-c", f"{name}={json.dumps(value, ensure_ascii=False)}")

    def _provider_settings(self, request: AgentRequest) -> dict[str, str | int | bool]:
        """A provider of our own: the one that is built in takes no key from the environment, only a login."""
        url = request.endpoint or self.provider
        if not url:
            return {}
        prefix = "model_providers.branchline"
        login = self.spec.home == "user" and not self.spec.key_env
        return {
            "model_provider": "branchline",
            f"{prefix}.name": "branchline",
            f"{prefix}.base_url": url,
            f"{prefix}.wire_api": "responses",
            **({f"{prefix}.requires_openai_auth": True} if login else {f"{prefix}.env_key": self._key}),
            f"{prefix}.request_max_retries": RETRIES,
            f"{prefix}.stream_max_retries": RETRIES,
        }


class CodexReader(StreamReader):
    """The verdict is `turn.completed` or `turn.failed`; the exit code is 0 also when every command was denied.

    It tells its tokens only at the end.
    """

    def __init__(self, worktree: str, model: str = "") -> None:
        super().__init__(worktree, model)
        self._error = ""
        self._ended: str | None = None  # the type of the event that ended the turn

    def line(self, data: bytes) -> None:
        """Take an event in; what is no event, or one of an unknown kind, says nothing."""
        event = decoded(data, OBJECTS) or {}
        kind = _text(event.get("type"))
        if kind == "thread.started":
            self._session = _text(event.get("thread_id"))
        elif kind in {"item.started", "item.updated", "item.completed"}:
            self._item(members(event.get("item")))
        elif kind == "error":
            self._error = _message(event)
        elif kind == "turn.failed":
            self._ended, self._error = kind, _message(members(event.get("error"))) or self._error
        elif kind == "turn.completed":
            self._ended, self._usage = kind, _usage(members(event.get("usage")))

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What the turn's end says; without one, the last error of the stream or of stderr."""
        if self._ended == "turn.completed":
            return self._made(AgentStatus.OK)
        if self._ended is None and ended.ok:
            return self._without_result(ended, b"")
        words = self._error or last_line(stderr) or f"exit code {ended.code}"
        told = self._error or readable(stderr)
        status = STATUS.search(told)
        kind = error_class(told, int(status[1]) if status else None)
        if self._ended is None and not kind:
            return self._made(AgentStatus.CRASHED, words)
        if not kind and REFUSAL.search(words):
            return self._made(AgentStatus.REFUSED, words)
        return self._made(AgentStatus.MODEL_ERROR, words, kind)

    def _item(self, item: dict[str, Any]) -> None:
        kind, declined = _text(item.get("type")), item.get("status") == "declined"
        if kind == "agent_message":
            self._notes = _text(item.get("text"))
        elif kind == "command_execution":
            self._tool(f"run {_text(item.get('command'))}", declined=declined)
        elif kind == "file_change":
            changes = item.get("changes")
            given = [_text(members(one).get("path")) for one in changes] if isinstance(changes, list) else []
            paths = [self._relative(path)[:LONGEST_PATH] for path in given[:MOST]]
            self._changed(*paths)
            self._tool(f"edit {' '.join(paths)}", declined=declined)
        elif kind in {"mcp_tool_call", "web_search"}:
            self._tool(f"{kind} {_text(item.get('tool') or item.get('query'))}", declined=declined)

    def _tool(self, words: str, *, declined: bool) -> None:
        self._did(words)
        if declined:
            self._denied(words)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _message(error: dict[str, Any]) -> str:
    """An error's message, which may itself be the provider's answer in JSON."""
    text = _text(error.get("message"))
    told = members((decoded(text, OBJECTS) or {}).get("error"))
    return ": ".join(filter(None, (_text(told.get("code")), _text(told.get("message"))))) or text


def _usage(told: dict[str, Any]) -> Usage:
    """Its input tokens hold the cached ones, its output tokens those of reasoning. It tells no cost."""

    def count(name: str) -> int | None:
        value = told.get(name)
        return value if type(value) is int and 0 <= value <= MOST_TOKENS else None

    return Usage(
        input_tokens=count("input_tokens"),
        output_tokens=count("output_tokens"),
        cached_tokens=count("cached_input_tokens"),
    )
