"""Aider: one message, no commits, nothing of its own in the worktree."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid, plain
from branchline.agents.installed import Program, look_with_key
from branchline.agents.output.aider_output import AiderReader
from branchline.core.model.agent import AgentRequest, Invocation, whole_files
from branchline.core.model.agent_spec import WINDOWS, AgentSpec

AIDER = Program(name="aider", tested=("0.86.2", "0.86.2"), install="uv tool install --python 3.12 aider-chat==0.86.2")
OWN = "aider"  # the folder of its files, in the attempt's
PROVIDERS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "deepseek": "https://api.deepseek.com/beta",
    "openrouter": "https://openrouter.ai/api/v1",
    "xai": "https://api.x.ai/v1",
}
"""The base URLs that litellm has built in."""
NAMES = (
    ("anthropic", ("claude", "sonnet", "opus", "haiku")),
    ("openai", ("gpt", "o1", "o3", "o4", "4", "35")),
    ("deepseek", ("deepseek", "r1")),
    ("gemini", ("gemini", "flash")),
    ("xai", ("grok",)),
)
"""Whose models have names, or aliases of Aider's, that begin so."""
OPTIONS = (
    "--yes-always",
    # Nothing is committed, and nothing written, but the files that were asked for.
    *("--no-auto-commits", "--no-dirty-commits", "--no-gitignore", "--map-tokens=0"),
    # Nobody is told, asked, or shown anything.
    *("--analytics-disable", "--no-check-update", "--no-show-release-notes", "--no-show-model-warnings"),
    *("--no-browser", "--no-detect-urls", "--no-notifications", "--disable-playwright"),
    # No command is run: the gates do that. These also count before an .aider.conf.yml in the repository.
    *("--no-auto-lint", "--no-auto-test", "--no-suggest-shell-commands", "--no-watch-files", "--load=/dev/null"),
    # There is one message only: no summary of the talk is needed, which would cost.
    "--max-chat-history-tokens=1000000000",
    # Plain lines.
    *("--no-pretty", "--no-stream", "--no-fancy-input"),
    *("--env-file=/dev/null", "--set-env=BRANCHLINE=1"),
)
ENVIRONMENT = {
    "COLUMNS": "1000000",  # or it breaks its lines, in paths and in JSON
    "BROWSER": "true",  # the program: with --yes-always it opens the pages that error messages name
    "PYTHON_DOTENV_DISABLED": "1",  # a .env in the repository could send our key to another address
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the price list that it brings along, instead of the newest one
}
HOME_FILES = {
    # A fresh list of prices that is not empty: Aider fetches none, and asks litellm's own.
    "home/.aider/caches/model_prices_and_context_window.json": '{"none": {}}',
    # Where git knows no name, Aider writes one into the configuration of the user's repository.
    "home/.gitconfig": "[user]\n\tname = aider\n\temail = aider@localhost\n",
}


@dataclass(frozen=True, slots=True)
class Aider:
    """Aider with the model that its configuration names; one must be named."""

    spec: AgentSpec
    abilities: frozenset[Ability] = frozenset({"edit", "read", "usage", "cost", "endpoint"})

    @property
    def provider(self) -> str:
        """The base URL of the model's provider, where it is known."""
        return self.spec.base_url or PROVIDERS.get(provider_of(self.spec.model), "")

    def probe(self) -> Probe:
        """Look for `aider`, and for the key of its model's provider."""
        return look_with_key(self.spec, AIDER, (self.spec.key_env or self._key,) if self.spec.model else ())

    def prepare(self, request: AgentRequest) -> Invocation:
        """`aider` with the prompt as a file; for mode read it is asked, and may write nothing.

        Raises InvalidInput if the prompt is empty or no model is set: without one Aider may wait for a login.
        """
        if not self.spec.model:
            hint = f"set `model:` of agent {self.spec.id}, for instance anthropic/claude-sonnet-4-5"
            raise invalid(self.spec, "no model is set", hint)
        expansion = Expansion(self.spec, request)
        # Parameters of every request; the repository's own files could otherwise send our key to another address.
        base = request.endpoint or self.provider
        parameters = {"api_base": base, "base_url": base} if base else {}
        made = Invocation(
            argv=(self.spec.program or AIDER.name, *OPTIONS, *self._options(request), *self.spec.args),
            env=ENVIRONMENT,
            pass_env=(self._key,),
            rename_env={self._key: self.spec.key_env} if self.spec.key_env not in {"", self._key} else {},
            # A message that begins with `/` or `!` would be one of Aider's commands.
            files={
                f"{OWN}/message.md": "\n" + plain(expansion.prompt),
                f"{OWN}/models.json": json.dumps([{"name": "aider/extra_params", "extra_params": parameters}]),
                **(HOME_FILES if self.spec.home == "private" else {}),
            },
        )
        return expansion.complete(made)

    def reader(self, request: AgentRequest) -> AiderReader:
        """A reader of its text."""
        return AiderReader(request.worktree, self.spec.model)

    @property
    def _key(self) -> str:
        return f"{provider_of(self.spec.model)}_API_KEY".upper()

    def _options(self, request: AgentRequest) -> Iterator[str]:
        folder = f"{request.folder}/{OWN}"
        yield f"--model={self.spec.model}"
        yield f"--message-file={folder}/message.md"
        yield f"--model-settings-file={folder}/models.json"
        yield f"--input-history-file={folder}/input.history"
        yield f"--chat-history-file={folder}/chat.md"
        yield f"--llm-history-file={folder}/llm.history"
        if request.mode == "read":
            yield from ("--edit-format=ask", "--dry-run")
        for file in whole_files(request.context, self.spec.window or WINDOWS[AIDER.name]):
            option = "--file" if file.role == "edit" and request.mode == "edit" else "--read"
            yield f"{option}={request.worktree}/{file.path}"


def provider_of(model: str) -> str:
    """The provider of a model, as litellm names it; OpenAI where the name tells none."""
    name, slash, _ = model.partition("/")
    if slash:
        return name
    return next((provider for provider, beginnings in NAMES if model.startswith(beginnings)), "openai")
