"""What one piece of work gets and gives, as data: it could be done on another machine. And what an attempt comes to.

A step that calls agents or gates is `prepare(ctx) -> Work`, on the coordinator, which reads ledger and repository;
`perform(work, at) -> WorkOutcome`, where the workspace is; `conclude(ctx, outcome)`, on the coordinator, which judges. No
`Work` holds a path of this machine: paths are relative to the repository or to the run's folder. An example, shortened:

    {"attempt":1,"base":"5f1c...","commit":"5f1c...","format":1,"run_id":"01K...","task":{"id":"task_005_execute_a",...},
     "asked":{"agent":"claude","prompt":"Change src/x.py.","role":"editor","timeout":1800.0,...},...}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from branchline.core.facts import AgentCalled, ApprovalNeeded, Fact, StepFact
from branchline.core.graph import Task
from branchline.core.model.agent import AgentResult, ContextFile
from branchline.core.model.plan import Scope, Script
from branchline.core.model.verdict import Phase, QualityReport
from branchline.errors import BranchlineError

Role = Literal["planner", "editor", "reviewer"]
T = TypeVar("T", bound=msgspec.Struct)


class Given(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent is given to read: the `files` of the manifest with that digest, `tokens` (an estimate) in all."""

    manifest: str
    files: tuple[ContextFile, ...]
    tokens: int
    warning: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent is asked. `number`: which asking this is; `write` and `protect`: what may and may not be changed."""

    role: Role
    agent: str
    prompt: str
    given: Given
    timeout: float
    number: int = 1
    schema: dict[str, Any] | None = None
    script: Script = ()
    write: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()


class Gating(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which gates are run: those of a `phase`; the report goes to `folder`, within the run's own.

    `changed`: the files to look at, which fixers may change even if they are protected. `beside_others`: other workstreams
    may be at work at the same time.
    """

    phase: Phase
    changed: tuple[str, ...]
    folder: str
    beside_others: bool = False


class Work(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="format", tag=1):
    """One piece of an attempt's work: an agent is `asked`, or it is `gating`.

    `task` says no more than whose it is. `part` is its name where there are several, and that of the folder for its files,
    below the attempt's own. It begins with the files of `tree` on the commit `commit`; `base` is what the change is
    compared with. What may be changed is in `scope`, or is `torn`: in conflict with others, which the workstream is to
    repair. `setup`: what set-up left in the workspace (see WorktreesReady); `refused`: what the agent has heard to be
    refused, and may correct. `reserved_usd`: what its agents may spend, None is without limit.
    """

    run_id: str
    task: Task
    attempt: int
    base: str
    commit: str
    tree: str
    part: str = ""
    asked: Asked | None = None
    gating: Gating | None = None
    scope: Scope | None = None
    torn: tuple[str, ...] = ()
    setup: dict[str, str | None] = {}
    refused: tuple[str, ...] = ()
    reserved_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Success:
    """An attempt did what it should. `asks`: the next step waits for a person; `told`: facts from on the way.

    A step has a `fact`; a task of a plain graph has none, and may have `outputs`, which must be JSON values.
    """

    fact: StepFact | None = None
    asks: ApprovalNeeded | None = None
    told: tuple[Fact, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The attempt failed. `error_class` is what the retry policy may name; `retryable`: the cause may pass by itself.

    `hint`: what to type; `fact`: what the step has come to all the same, such as a rejected batch. `asks`, `told` as for
    a success.
    """

    reason: str
    error_class: str = "error"
    retryable: bool = True
    hint: str = ""
    fact: StepFact | None = None
    asks: ApprovalNeeded | None = None
    told: tuple[Fact, ...] = ()
    traceback: str = ""


Result = Success | Failure


def facts_of(result: Result) -> tuple[Fact, ...]:
    """All facts of an attempt, in the order of the ledger."""
    return (*result.told, *(one for one in (result.fact, result.asks) if one is not None))


class StepFailed(BranchlineError):
    """Raised by a step to end its attempt as a `Failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason, hint=failure.hint)
        self.failure = failure


class WorkOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of it. `told`: facts that stand in any case; `failure`: why it was not carried out to its end.

    `result`: of the agent that answered last. `tree` is what is there then, `commit` keeps it; `own_commits`: the agent made
    commits. `refused`, `left_out`, `commits_left_out`: see ExecuteWsComplete.
    """

    told: tuple[Fact, ...] = ()
    failure: Failure | None = None
    result: AgentResult | None = None
    tree: str = ""
    commit: str = ""
    own_commits: bool = False
    commits_left_out: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    report: QualityReport | None = None

    @property
    def called(self) -> tuple[AgentCalled, ...]:
        """The agents that were tried, in order; the last one's is the `result`."""
        return tuple(fact for fact in self.told if isinstance(fact, AgentCalled))


def encode(data: Work | WorkOutcome) -> bytes:
    """Canonical JSON: equal data give equal bytes. Paths may hold bytes that are no text, so it is ASCII."""
    return JSON.encode(msgspec.to_builtins(data)).encode("ascii") + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """The inverse of `encode`. Raises ValueError."""
    return msgspec.convert(json.loads(data), kind)


JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
# msgspec (0.22) builds its view of a type at its first use, which must not be in two threads: see engine/opening.py.
msgspec.json.Decoder(Work)
msgspec.json.Decoder(WorkOutcome)
