"""One attempt of an agent as data: what it is asked, what is to be spawned, what came of it."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from math import inf
from typing import Any, Literal

import msgspec

from branchline.core.model.manifest import Mode as Form
from branchline.core.model.manifest import Span
from branchline.core.model.plan import Script

Mode = Literal["edit", "read"]
CostSource = Literal["agent", "computed", "metered", "unknown"]


class ContextFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that an agent should know from the start, by its path in the worktree; `edit`: it may change it.

    `form` other than full: the lines of `spans` (a few of those that matter most, in order) are what it should know,
    and `tokens` (an estimate) is what all of the file would cost. `why`: what made it be chosen, in a few words.
    """

    path: str
    role: Literal["edit", "read"] = "read"
    form: Form = "full"
    spans: tuple[Span, ...] = ()
    tokens: int = 0
    why: str = ""


def whole_files(context: Iterable[ContextFile], window: int | None) -> Iterator[ContextFile]:
    """The files for an agent that takes all of a file or nothing, in their order, as many as `window` tokens hold.

    Of one that is only worth an outline the prompt tells enough.
    """
    left = inf if window is None else window
    for file in context:
        if file.form != "outline" and file.tokens <= left:
            left -= file.tokens
            yield file


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt may use at most: US dollars, turns of the model. None is unlimited."""

    usd: float | None = None
    turns: int | None = None


class AgentRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt's question to an agent. `worktree` and `folder` (the attempt's own files) are absolute paths.

    `mode` read: it must change nothing. `output_schema`: the JSON Schema that its answer must satisfy. `endpoint`: the
    base URL to use instead of the provider's own, when a proxy stands between. `write` and `protect` are the globs of
    what may and may not be changed, for agents that ask before they write; git has the last word. `manifest`: the digest
    of the manifest that `context` was made of. `own_sandbox` false: it is held by a sandbox in which it can make none.
    """

    run_id: str
    workstream: str
    round: int
    attempt: int
    prompt: str
    worktree: str
    folder: str
    mode: Mode = "edit"
    output_schema: dict[str, Any] | None = None
    context: tuple[ContextFile, ...] = ()
    manifest: str = ""
    limits: Limits = Limits()
    endpoint: str = ""
    script: Script = ()
    write: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    own_sandbox: bool = True


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """What to spawn: pure result of `prepare`.

    `files` are written into the attempt's folder first; `grace` is the seconds between being asked to end and being
    killed. With `private_home`, HOME is `<folder>/home` and TMPDIR `<folder>/tmp`. `rename_env` hands variables of ours
    on under other names: the new name to ours.
    """

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    rename_env: dict[str, str] = {}
    files: dict[str, str] = {}
    stdin: str | None = None
    private_home: bool = True
    grace: float = 2.0


class AgentStatus(StrEnum):
    """How an attempt ended. `parse` tells what the agent's own words mean; the supervisor and git decide the rest."""

    OK = "ok"
    NO_CHANGE = "no_change"  # it ended well and left the tree as it was
    REFUSED = "refused"  # the model would not, or a tool that it needed was denied
    MODEL_ERROR = "model_error"  # the provider, or the way to it; `error_class` says which kind
    LIMIT = "limit"  # budget, turns, output
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    INVALID_OUTPUT = "invalid_output"  # no answer where one was due, or one that breaks its schema


TRANSIENT = frozenset({"rate_limit", "overloaded", "server_error", "connection"})
"""The kinds of model error that may pass by themselves."""

PERMANENT = frozenset({"auth", "billing", "unknown_model", "context_too_large", "bad_request"})
"""The kinds that another try with the same agent cannot mend."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt used. None is unknown, never zero. `cached_tokens` is the part of `input_tokens` that was cached.

    `cost_source`: who says so: the agent, our price table (`computed`), our proxy with the price table (`metered`).
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    cost_source: CostSource = "unknown"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a running agent's stream has told so far. `doing`: its last tool and what it was used on."""

    doing: str = ""
    files: tuple[str, ...] = ()
    tokens: int | None = None
    cost_usd: float | None = None


class AgentResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of an attempt. `structured`: its answer by the schema asked for; `denials`: tools it was not given.

    `containment`: what held its processes together; of all of them, `cpu_ms` of the processor and at most `memory_mb`.
    `evidence`: the files of its record, name -> SHA-256, as we wrote them or as it ended.
    `unchecked`: what of its home could not be looked through for secrets, in a sentence.
    """

    status: AgentStatus
    message: str = ""
    error_class: str = ""
    notes: str = ""
    usage: Usage = Usage()
    model: str = ""
    session_id: str = ""
    structured: Any = None
    denials: tuple[str, ...] = ()
    containment: str = ""
    cpu_ms: int | None = None
    memory_mb: int | None = None
    evidence: dict[str, str] = {}
    unchecked: str = ""

    @property
    def retryable(self) -> bool:
        """Whether another try with the same agent may end better."""
        if self.status is AgentStatus.MODEL_ERROR:
            return self.error_class not in PERMANENT
        return self.status in {AgentStatus.TIMEOUT, AgentStatus.CRASHED, AgentStatus.INVALID_OUTPUT}

    @property
    def turned_away(self) -> bool:
        """Whether the provider refused it at the door: no token was used."""
        return (
            self.error_class in TRANSIENT | PERMANENT and not self.usage.input_tokens and not self.usage.output_tokens
        )

    @property
    def kind(self) -> str:
        """The class by which a retry policy can name it: the error's if it has one, else the status."""
        return self.error_class or str(self.status)
