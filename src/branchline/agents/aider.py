"""Aider: one message, no commits, nothing of its own in the worktree."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from branchline.agents.base import Ability, Probe
from branchline.agents.expand import Expansion, invalid, plain
from branchline.agents.installed import Program, look_with_key
from branchline.agents.stream import LAST_WORDS, StreamReader, error_class
from branchline.core.model.agent import AgentRequest, AgentResult, AgentStatus, Invocation, whole_files
from branchline.core.model.agent_spec import WINDOWS, AgentSpec
from branchline.core.rules.linear import compiled
from branchline.process.output import last_line, readable
from branchline.process.spawn import Exit

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
NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
TOKENS = compiled(
    rf"Tokens: (?P<sent>{NUMBER}k?) sent(?:, {NUMBER}k? cache write)?(?:, (?P<hit>{NUMBER}k?) cache hit)?"
    rf", (?P<received>{NUMBER}k?) received\.(?: (?P<cost>Cost: .+))?"
)
COST = compiled(rf"Cost: \${NUMBER} message, \$(?P<session>{NUMBER}) session\.")
HEADER = compiled(r"\A(?:Repo-map: |Added .+ to the chat)")
APPLIED = compiled(r"Applied edit to (?P<path>.+)")
RETRY = compiled(r"Retrying in [\d.]+ seconds")
ERROR = compiled(r"litellm\.(?P<name>\w+?)(?:Error)?: ")
OTHER_ERROR = compiled(
    r"\A(?:The specified model .{1,200} requires an? .{0,200}API key|Unable to proceed without|Empty response received)"
)
MALFORMED = "The LLM did not conform to the edit format."
BROKEN = compiled(r"# \d+ SEARCH/REPLACE blocks? failed|Exception while updating files")
FULL = compiled(r"\AModel .+ has hit a token limit!")
LONG_ANSWER = "possibly exceeded output limit!"
MORE_EXACT = frozenset({"billing", "connection", "context_too_large", "unknown_model"})
"""The classes for which the words of an error count before its name."""


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

    def reader(self, request: AgentRequest) -> "AiderReader":
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


class AiderReader(StreamReader):
    """The exit code is 0 also when the key is wrong and when no edit fitted.

    Its output is text, the model's own among it. After each answer stands a line of tokens: what looks like an error
    and is followed by such a line was the model's, or was mended by another request.
    """

    def __init__(self, worktree: str, model: str = "") -> None:
        super().__init__(worktree, model)
        self._answered = False
        # What was last seen after the last answer; `_full` is what was too large, context or answer.
        self._error = self._malformed = self._full = ""

    def line(self, data: bytes) -> None:
        """Take a line of its text in."""
        text = readable(data[:LAST_WORDS]).rstrip()
        if found := TOKENS.fullmatch(text):
            self._answered, self._notes = True, self._noted()
            self._error = self._malformed = self._full = ""
            self._text.clear()
            self._add(
                input_tokens=_count(found["sent"]),
                output_tokens=_count(found["received"]),
                cached_tokens=_count(found["hit"] or "0"),
            )
            if cost := COST.fullmatch(found["cost"] or ""):
                self._cost(cost)
        elif found := COST.fullmatch(text):
            self._cost(found)
        else:
            self._told(text)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        """What happened after the last answer; without any answer, the last line."""
        if self._error:
            found = ERROR.match(self._error)
            words, named = error_class(self._error), error_class(found[0]) if found else ""
            kind = words if words in MORE_EXACT else named or words
            refused = found is not None and found["name"] == "ContentPolicyViolation"
            status = AgentStatus.REFUSED if refused else AgentStatus.MODEL_ERROR
            return self._made(status, self._error, "" if refused else kind)
        if self._full == "answer":
            return self._made(AgentStatus.LIMIT, "the model's answer was longer than it may be")
        if self._full:
            words = "the context is too large for the model"
            return self._made(AgentStatus.MODEL_ERROR, words, "context_too_large")
        if self._malformed:
            return self._made(AgentStatus.INVALID_OUTPUT, f"its edits fitted no file: {self._malformed}")
        if self._answered:
            return self._made(AgentStatus.OK)
        words = last_line(stderr) or last_line(bytes(self._text))
        return self._without_result(ended, stderr, f"it gave no answer: {words}" if ended.ok else words)

    def _cost(self, found: re.Match[str]) -> None:
        self._usage = msgspec.structs.replace(self._usage, cost_usd=float(found["session"]))

    def _told(self, text: str) -> None:
        if HEADER.match(text):
            self._text.clear()
        elif found := APPLIED.fullmatch(text):
            self._did(f"edit {found['path']}")
            self._changed(found["path"])
            self._text.clear()
        elif RETRY.match(text):
            self._did(f"{text} {self._error}")
        elif ERROR.match(text) or OTHER_ERROR.match(text):
            self._error = text
        elif FULL.match(text):
            self._full = "context"
        elif self._full and LONG_ANSWER in text:
            self._full = "answer"
        elif text == MALFORMED or BROKEN.match(text):
            self._malformed = text
        else:
            self._note(text.encode())


def _count(text: str) -> int:
    """Tokens as Aider rounds them: `42`, `2.2k`, `15k`."""
    number, thousands, _ = text.partition("k")
    return round(float(number) * (1000 if thousands else 1))
