"""What one piece of work gets and gives, as data: it could be done on another machine.

A step that calls agents or gates is `prepare(ctx) -> Work`, on the coordinator, which reads ledger and repository;
`perform(work, at) -> WorkOutcome`, where the workspace is; `conclude(ctx, outcome)`, on the coordinator, which judges. No
`Work` holds a path of this machine: paths are relative to the repository or to the run's folder. An example, shortened:

    {"attempt":1,"base":"5f1c...","commit":"5f1c...","format":1,"run_id":"01K...","task":{"id":"task_005_execute_a",...},
     "asked":{"agent":"claude","mode":"edit","prompt":"Change src/x.py.","role":"editor","timeout":1800.0,...},...}
"""

import json
from typing import Any, Literal, TypeVar

import msgspec

from branchline.core.facts import AgentCalled, Fact
from branchline.core.graph import Task
from branchline.core.model.agent import AgentResult, ContextFile, Mode
from branchline.core.model.plan import Scope, Script
from branchline.core.model.verdict import Phase, QualityReport
from branchline.core.result import Failure

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
    mode: Mode
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
