"""Agents as configuration: an adapter or preset by name, or a command in the template language."""

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

import msgspec

from branchline.core.durations import Duration
from branchline.core.model.limits import ProcessLimits
from branchline.core.model.plan import Model, Name, Script
from branchline.core.rules.linear import compiled

SCRIPTED = "scripted"
ENTRY_POINTS = "branchline.agents"
"""The group of entry points in which packages offer adapters of their own."""


PRESETS = ("gemini", "qwen", "opencode", "pi", "mini-swe-agent")
"""Those of the built-in agents that are nothing but configuration, which a user may therefore change in part."""

BUILT_IN = (SCRIPTED, "claude_code", "codex", "aider", *PRESETS, "acp")
"""The agents that need no configuration; also what `use:` may name."""

PLACEHOLDERS = (
    "{prompt}", "{prompt_file}", "{mode}", "{worktree}", "{folder}", "{home}", "{model}", "{workstream}", "{round}",
    "{base_url}", "{schema}", "{schema_file}", "{max_turns}", "{max_usd}", "{path}",
)  # fmt: skip
"""What is replaced where it is a whole argument of a command; in `env` and `files` also as part of a text.

An argument may also be a path below a folder: `{folder}/...`, `{home}/...`, `{worktree}/...`.
"""

KEY = "${key}"
"""As the whole value of a variable: the value of the variable that `key_env` names."""

FROM_ENV = compiled(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
"""As the whole value of a variable: the value of another one of ours, which is written nowhere."""

WINDOWS = {"aider": 80_000, "claude_code": 150_000}
"""Tokens of context that an adapter is given at most, where its configuration sets no `window`."""


class Group(Model, frozen=True, kw_only=True):
    """A part of a command: `as` once for each context file, or once if a value is there. Exactly one of the two."""

    each: Literal["context", "context.read", "context.edit"] | msgspec.UnsetType = msgspec.UNSET
    if_: Literal["model", "base_url", "schema", "max_turns", "max_usd"] | msgspec.UnsetType = msgspec.field(
        default=msgspec.UNSET, name="if"
    )
    as_: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = msgspec.field(name="as")


Template = Annotated[tuple[str | Group, ...], msgspec.Meta(min_length=1)]
Where = str
"""Where a value stands in the output: a JSON path (`$.usage.in`), or for text a regex with the group `value`."""


class Output(Model, frozen=True, kw_only=True):
    """How to read what a command prints. In `jsonl` each line is an object; in `json` the whole is one value.

    Of several values of one place the last line's counts; `add`: those of tokens and cost are added up instead;
    `join`: `message` finds pieces, which are put together, anew after each thing done. `error` holds unless a `message`
    comes later; `status` is its HTTP status. `done`: what a whole output has; without it the output was cut off.
    `doing` and `target`: the tool in use, and on what. `denials`: tools that it wanted and was not given.
    """

    format: Literal["text", "json", "jsonl"] = "text"
    add: bool = False
    join: bool = False
    message: Where = ""
    error: Where = ""
    status: Where = ""
    done: Where = ""
    session_id: Where = ""
    model: Where = ""
    structured: Where = ""
    denials: Where = ""
    doing: Where = ""
    target: Where = ""
    input_tokens: Where = ""
    output_tokens: Where = ""
    cached_tokens: Where = ""
    cost_usd: Where = ""

    @property
    def places(self) -> dict[str, Where]:
        """The places that are set, by field."""
        fields = (name for name in self.__struct_fields__ if name not in {"format", "add", "join"})
        return {name: where for name in fields if (where := getattr(self, name))}


class AgentSpec(Model, frozen=True, kw_only=True):
    """An agent. Either `use` (an adapter or preset by name) or `command` says how it is called.

    With `use`, what is set here counts before what the preset says. `scripts` are for the scripted agent alone: what it
    does at its first call, its second, ... where the plan has no script for it. `provider`: the base URL that it uses
    where `base_url` is empty. `window`: tokens of files that it is given at most. `limit_codes`: exit codes that mean
    that it ran out of turns. `tested`: the first and the last version that are known to work. `limits` of its own stand
    instead of those of the settings.
    """

    id: Name
    use: str = ""
    command: Template | msgspec.UnsetType = msgspec.UNSET
    read_command: Template | msgspec.UnsetType = msgspec.UNSET
    program: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    files: dict[str, str] = {}
    stdin: Literal["", "{prompt}"] = ""
    model: str = ""
    base_url: str = ""
    provider: str = ""
    key_env: str = ""
    timeout: Duration | None = None
    max_turns: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    window: Annotated[int, msgspec.Meta(ge=1)] | None = None
    output: Output = Output()
    ok_codes: tuple[int, ...] = (0,)
    limit_codes: tuple[int, ...] = ()
    fail_if_stdout: tuple[str, ...] = ()
    commits: Literal["fold", "reject"] = "fold"
    grace: Duration = "2s"
    limits: ProcessLimits | None = None
    home: Literal["private", "user"] = "private"
    meter: bool = False
    version: tuple[str, ...] = ()
    tested: tuple[str, ...] = ()
    install: str = ""
    fallback: tuple[Name, ...] = ()
    scripts: tuple[Script, ...] = ()

    @property
    def context_window(self) -> int | None:
        """Tokens of files that it is given at most; None: as many as the task's budget allows."""
        return self.window or WINDOWS.get(self.use)

    @property
    def named_program(self) -> str:
        """The program that it names itself; empty if its adapter or preset does."""
        first = (self.command or ("",))[0]
        return self.program or (first.as_[0] if isinstance(first, Group) else first)


def chain(name: str, fallback: Callable[[str], Iterable[str]]) -> tuple[str, ...]:
    """An agent and those that take its place when it cannot answer, each once: its own in order, then theirs."""
    found = [name]
    for one in found:
        found += [other for other in dict.fromkeys(fallback(one)) if other not in found]
    return tuple(found)
