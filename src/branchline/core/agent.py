"""Agents as data: what one is asked, what it answers, and how a command becomes one by configuration alone."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

import msgspec

from branchline.core.durations import Duration
from branchline.core.plan import Argv, Model, Name, Script

PLACEHOLDERS = ("{prompt}", "{prompt_file}", "{worktree}", "{model}", "{workstream}", "{round}")


class AgentSpec(Model, frozen=True, kw_only=True):
    """An agent that is a command. `PLACEHOLDERS` stand for whole arguments."""

    id: Name
    command: Argv
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    stdin: Literal["", "{prompt}"] = ""
    model: str = ""
    timeout: Duration = "30m"
    ok_codes: tuple[int, ...] = (0,)
    fail_if_stdout: tuple[str, ...] = ()
    home: Literal["private", "user"] = "private"


class AgentRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt's question to an agent. `worktree` and `folder` (the attempt's own files) are absolute paths."""

    run_id: str
    workstream: str
    round: int
    attempt: int
    prompt: str
    worktree: str
    folder: str
    script: Script = ()


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """What to spawn: pure result of `prepare`. `files` are written into the attempt's folder first."""

    argv: tuple[str, ...]
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    files: dict[str, str] = {}
    stdin: str | None = None
    private_home: bool = True


def unknown_placeholders(argv: Iterable[str]) -> list[str]:
    """The arguments that have a placeholder's form and are none."""
    return [argument for argument in argv if re.fullmatch(r"\{[a-z_]+\}", argument) and argument not in PLACEHOLDERS]


class AgentStatus(StrEnum):
    """How an attempt ended, as far as the agent's own words and exit tell; git decides `no_change` later."""

    OK = "ok"
    NO_CHANGE = "no_change"
    REFUSED = "refused"
    MODEL_ERROR = "model_error"
    LIMIT = "limit"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    INVALID_OUTPUT = "invalid_output"


RETRYABLE = frozenset({AgentStatus.MODEL_ERROR, AgentStatus.TIMEOUT, AgentStatus.CRASHED, AgentStatus.INVALID_OUTPUT})


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an attempt used. None is unknown, never zero."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class AgentResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `parse` made of an attempt's output."""

    status: AgentStatus
    message: str = ""
    notes: str = ""
    usage: Usage = Usage()
