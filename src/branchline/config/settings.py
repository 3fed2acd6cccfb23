"""What `branchline.yaml` may say. Every field has a default but `version`."""

from typing import Annotated, Literal

import msgspec

from branchline.core.agent_spec import AgentSpec
from branchline.core.budget import Budget
from branchline.core.durations import Duration
from branchline.core.manifest import ContextSettings
from branchline.core.plan import Argv, Glob, Model, Name
from branchline.core.pricing import Price
from branchline.core.retry import RetryPolicy
from branchline.core.verdict import Gate

Positive = Annotated[int, msgspec.Meta(ge=1)]
PresetName = Literal["python", "pre-commit"]

PROTECTED = (
    ".github/workflows/**", ".gitlab-ci.yml", ".circleci/**", "**/.gitattributes", "**/.gitmodules", ".githooks/**",
    ".husky/**", ".pre-commit-config.yaml", ".claude/**", ".codex/**", ".mcp.json", ".aider*", ".gemini/**", ".qwen/**", ".opencode/**",
    "opencode.json*", ".pi/**", ".vscode/**", ".idea/**",
    "branchline.yaml", ".branchline/**",
)  # fmt: skip


class Setup(Model, frozen=True, kw_only=True):
    """What a fresh worktree needs before its agent starts: files from the user's checkout, then commands.

    What set-up makes never enters a batch, unless an agent changes it afterwards and its scope allows that.
    """

    copy: tuple[Glob, ...] = ()
    symlink: tuple[str, ...] = ()
    run: tuple[Argv, ...] = ()
    timeout: Duration = "10m"


class PathStrategy(Model, frozen=True, kw_only=True):
    """How conflicts in matching paths are merged."""

    match: Glob
    strategy: Literal["union", "json"]


class Merge(Model, frozen=True, kw_only=True):
    """What a conflict leads to, and which paths have a strategy of their own."""

    on_conflict: Literal["drop", "abort", "repair"] = "drop"
    paths: tuple[PathStrategy, ...] = ()
    max_deleted_files: Positive = 100


class Ship(Model, frozen=True, kw_only=True):
    """Whether the target moves: `branch` leaves integration/<run>, `merge` fast-forwards the target to it.

    `tag`: a name with `{run_id}` in it, or empty for none.
    """

    mode: Literal["branch", "merge"] = "branch"
    tag: str = "release/{run_id}"


class Resources(Model, frozen=True, kw_only=True):
    """How much the tasks that run at once may ask for together; None is unlimited."""

    cpu: float | None = None
    mem_mb: float | None = None


class Planning(Model, frozen=True, kw_only=True):
    """How a request becomes a plan. `agent` empty: the default agent plans too.

    `attempts`: how often the planner may answer, the first time included; `overlap`: what becomes of workstreams that
    could run at once and may write the same files.
    """

    agent: str = ""
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    overlap: Literal["serialise", "refuse", "allow"] = "serialise"
    timeout: Duration = "10m"
    max_workstreams: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20


class Repair(Model, frozen=True, kw_only=True):
    """How a rejected batch or a conflict goes back to its agent: at most so many rounds, so long, for so much money.

    From round `takeover_after` + 1 on, `takeover` works instead of the workstream's own agent.
    """

    rounds: Annotated[int, msgspec.Meta(ge=0, le=20)] = 2
    time: Duration | None = None
    usd: Annotated[float, msgspec.Meta(gt=0)] | None = None
    takeover: str = ""
    takeover_after: Positive = 1


class Review(Model, frozen=True, kw_only=True):
    """A second agent reads each approved batch; its blocking findings reject it. `agent` empty: no review."""

    agent: str = ""
    timeout: Duration = "10m"
    required: bool = False


class Cassettes(Model, frozen=True, kw_only=True):
    """Models' answers on tape, in a folder of the repository's: `record` them, or `replay` them without any model."""

    mode: Literal["off", "record", "replay"] = "off"
    folder: str = ".branchline/cassettes"


class Settings(Model, frozen=True, kw_only=True):
    """The whole configuration."""

    version: Literal[1]
    base: str | None = None
    max_parallel: Positive = 4
    agent: str = "scripted"
    agents: tuple[AgentSpec, ...] = ()
    agent_timeout: Duration = "30m"
    planning: Planning = Planning()
    review: Review = Review()
    context: ContextSettings = ContextSettings()
    budget: Budget = Budget()
    prices: dict[str, Price] = {}
    cassettes: Cassettes = Cassettes()
    env: tuple[Name, ...] = ()
    setup: Setup = Setup()
    gates: tuple[Gate, ...] = ()
    presets: tuple[PresetName, ...] = ()
    repair: Repair = Repair()
    protect: tuple[Glob, ...] = PROTECTED
    allow_protected: tuple[Glob, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    resources: Resources = Resources()
    merge: Merge = Merge()
    ship: Ship = Ship()
