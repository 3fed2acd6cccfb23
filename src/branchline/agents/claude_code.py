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
from branchline.agents.output.claude_stream import ClaudeReader
from branchline.core.model.agent import AgentRequest, ContextFile, Invocation
from branchline.core.model.agent_spec import AgentSpec

ANTHROPIC = "https://api.anthropic.com"
CLAUDE = Program(
    name="claude",
    tested=("2.1.197", "2.1.330"),
    install="npm install -g @anthropic-ai/claude-code",
)
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
PLAIN_PATH = re.compile(r"[\w.+-][\w./+ -]*")


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

    def reader(self, request: AgentRequest) -> ClaudeReader:
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
