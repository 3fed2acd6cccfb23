"""OpenAI's Codex, driven by `codex exec`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, plain
from branchline.agents.installed import Program, look_with_key
from branchline.agents.output.codex_stream import CodexReader
from branchline.core.model.agent import AgentRequest, Invocation
from branchline.core.model.agent_spec import AgentSpec

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

    def reader(self, request: AgentRequest) -> CodexReader:
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
