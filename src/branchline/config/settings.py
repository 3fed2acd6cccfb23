"""What `branchline.yaml` may say. Every field has a default but `version`."""

from typing import Annotated, Any, Literal

import msgspec

from branchline.core.budget import Budget
from branchline.core.durations import Duration
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.model.limits import ProcessLimits
from branchline.core.model.manifest import ContextSettings
from branchline.core.model.plan import Argv, Glob, Model, Name
from branchline.core.model.pricing import Price
from branchline.core.model.sandbox import SandboxSettings
from branchline.core.model.verdict import Gate
from branchline.core.refs import DEFAULT_TAG
from branchline.core.retry import RetryPolicy
from branchline.core.rules.remark import JudgeKind
from branchline.errors import InvalidInput

Positive = Annotated[int, msgspec.Meta(ge=1)]
PresetName = Literal["python", "pre-commit", "gitleaks"]

OWN = ("branchline.yaml", ".branchline/**")
"""What a run itself obeys: protected whatever `protect` says. The table in `pyproject.toml` is besides."""
PROTECTED = (
    ".github/workflows/**", ".github/actions/**", "**/CODEOWNERS", ".gitlab-ci.yml", ".gitlab/**", ".circleci/**",
    ".buildkite/**", ".drone.yml", ".travis.yml", ".woodpecker*", "azure-pipelines.yml", "bitbucket-pipelines.yml",
    "Jenkinsfile",
    "**/.gitattributes", "**/.gitmodules", ".githooks/**", ".husky/**", ".pre-commit-config.yaml", "lefthook.y*ml",
    "**/.gitleaks.toml", "**/.gitleaksignore",
    "**/CLAUDE.md", "**/CLAUDE.local.md", "**/AGENTS.md", "**/AGENTS.override.md", "**/GEMINI.md", "**/QWEN.md",
    ".github/copilot-instructions.md", ".github/instructions/**", ".github/agents/**", ".cursorrules", ".windsurfrules",
    "**/.claude/**", "**/.codex/**", "**/.cursor/**", "**/.windsurf/**", "**/.gemini/**", "**/.qwen/**", "**/.pi/**",
    "**/.opencode/**", "opencode.json*", "**/.mcp.json", "**/.aider*",
    "**/.vscode/**", "**/.idea/**", "**/.devcontainer/**", "**/.envrc",
    *OWN,
)  # fmt: skip
LOCKS = (
    "**/package-lock.json", "**/npm-shrinkwrap.json", "**/yarn.lock", "**/pnpm-lock.yaml", "**/bun.lock*", "**/uv.lock",
    "**/poetry.lock", "**/Pipfile.lock", "**/pdm.lock", "**/Cargo.lock", "**/go.sum", "**/Gemfile.lock",
    "**/composer.lock", "**/packages.lock.json", "**/gradle.lockfile", "**/flake.lock",
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
    max_deleted_files: Positive | None = None


class Approvals(Model, frozen=True, kw_only=True):
    """What waits for a person's word. `protected`: what becomes of a batch that changes protected paths.

    `locks`: the lock files of package managers are protected too. `deletions`, `deleted_share`: so many deleted files,
    or that part of all files (from 10 on), make a batch or the merge wait; null: they never do. `judges`: so does what
    touches that by which the gates go, by kind. `ship`: nothing ships before somebody has said so.
    """

    protected: Literal["wait", "reject", "allow"] = "wait"
    locks: bool = False
    deletions: Positive | None = 100
    deleted_share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = 0.5
    judges: tuple[JudgeKind, ...] = ("secret-excuse",)
    ship: bool = False


class Secrets(Model, frozen=True, kw_only=True):
    """The look for keys, tokens and passwords in what agents leave, before git gets it.

    `allow`: globs of files in which what looks like a secret is none, and fingerprints of single findings; values of
    secret environment variables are never allowed.
    """

    scan: bool = True
    allow: tuple[str, ...] = ()


class Ship(Model, frozen=True, kw_only=True):
    """Whether the target moves: `branch` leaves integration/<run>, `merge` fast-forwards the target to it.

    `tag`: a name with `{run_id}` in it, or empty for none.
    """

    mode: Literal["branch", "merge"] = "branch"
    tag: str = DEFAULT_TAG


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
    env: tuple[Name, ...] = ()
    setup: Setup = Setup()
    gates: tuple[Gate, ...] = ()
    presets: tuple[PresetName, ...] = ()
    repair: Repair = Repair()
    protect: tuple[Glob, ...] = PROTECTED
    allow_protected: tuple[Glob, ...] = ()
    approvals: Approvals = Approvals()
    retry: RetryPolicy = RetryPolicy()
    resources: Resources = Resources()
    sandbox: SandboxSettings = SandboxSettings()
    limits: ProcessLimits = ProcessLimits()
    secrets: Secrets = Secrets()
    merge: Merge = Merge()
    ship: Ship = Ship()

    @property
    def guarded(self) -> tuple[str, ...]:
        """The globs of protected paths, lock files among them if they are to be."""
        return (*self.protect, *OWN, *(LOCKS if self.approvals.locks else ()))


def recorded_settings(pins: dict[str, Any]) -> Settings:
    """The settings that a run has pinned. Raises InvalidInput where another version of Branchline has pinned them."""
    try:
        return msgspec.convert(pins["settings"], Settings)
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"the run began with another version of Branchline: {error}",
            hint="finish it with that version, or start a new run: branchline run",
        ) from error
