"""What `branchline.yaml` may say. Every field has a default but `version`."""

from typing import Annotated, Literal

import msgspec

from branchline.core.agent import AgentSpec
from branchline.core.durations import Duration
from branchline.core.plan import Argv, Glob, Model, Name
from branchline.core.retry import RetryPolicy
from branchline.core.verdict import Gate

Positive = Annotated[int, msgspec.Meta(ge=1)]
PresetName = Literal["python", "pre-commit"]

PROTECTED = (
    ".github/workflows/**", ".gitlab-ci.yml", ".circleci/**", "**/.gitattributes", "**/.gitmodules", ".githooks/**",
    ".husky/**", ".pre-commit-config.yaml", ".claude/**", ".codex/**", ".mcp.json", ".aider*", ".vscode/**", ".idea/**",
    "branchline.yaml",
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


class Settings(Model, frozen=True, kw_only=True):
    """The whole configuration."""

    version: Literal[1]
    base: str | None = None
    max_parallel: Positive = 4
    agent: str = "scripted"
    agents: tuple[AgentSpec, ...] = ()
    agent_timeout: Duration = "30m"
    env: tuple[Name, ...] = ()
    setup: Setup = Setup()
    gates: tuple[Gate, ...] = ()
    presets: tuple[PresetName, ...] = ()
    repair_rounds: Annotated[int, msgspec.Meta(ge=0, le=20)] = 2
    protect: tuple[Glob, ...] = PROTECTED
    allow_protected: tuple[Glob, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    resources: Resources = Resources()
    merge: Merge = Merge()
    ship: Ship = Ship()
