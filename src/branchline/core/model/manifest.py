"""A context manifest: which files an agent should read for a task, in which form, why, and what was left out."""

from typing import Annotated, Literal

import msgspec

from branchline.core.model.plan import Glob, Model

TaskType = Literal["edit", "analyze", "plan", "test"]
Category = Literal["code", "tests", "docs", "other"]
Mode = Literal["full", "excerpt", "outline"]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0)]

BUDGETS: dict[str, int] = {"edit": 80_000, "analyze": 150_000, "plan": 100_000, "test": 40_000}
"""Tokens that a manifest may hold, by task type, where nobody says otherwise."""


class Caps(Model, frozen=True, kw_only=True):
    """How many files of a category a manifest may hold; None is as many as there is room for."""

    code: Count | None = None
    tests: Count | None = 8
    docs: Count | None = 4
    other: Count | None = 4


class ContextSettings(Model, frozen=True, kw_only=True):
    """How context is chosen. `max_tokens` None: by the task type; `window`: tokens of the agent's own limit.

    `pin`: always in, after the targets, as the budget allows; `ban`: never in, targets excepted. `max_file_tokens`: a
    larger file is never shown whole. `chunk_tokens`, `chunk_overlap`: text without definitions is cut into such pieces.
    """

    max_tokens: Positive | None = None
    max_files: Positive = 50
    max_file_tokens: Positive = 8000
    window: Positive | None = None
    caps: Caps = Caps()
    pin: tuple[Glob, ...] = ()
    ban: tuple[Glob, ...] = ()
    include_tests: bool = True
    include_dependencies: bool = True
    chunk_tokens: Positive = 800
    chunk_overlap: Count = 80
    exact_tokens: bool = False


class ContextRequest(Model, frozen=True, kw_only=True, omit_defaults=True):
    """One question to the broker. `text`: the task in words; `targets`: files that are in whatever they cost."""

    task_type: TaskType = "edit"
    text: str = ""
    keywords: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    scope: tuple[Glob, ...] = ()
    settings: ContextSettings = ContextSettings()

    @property
    def budget(self) -> int:
        """Tokens: what was asked for, else by the task type; never more than the agent's window."""
        asked = self.settings.max_tokens or BUDGETS[self.task_type]
        return min(asked, self.settings.window or asked)


class Span(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Lines of a file, counted from 1, the last one included; `name`: the definition that they are, if any."""

    start: int
    end: int
    name: str = ""


class Form(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One way to show a file: its mode, what it costs in tokens, and which lines it shows (none: all of them)."""

    mode: Mode
    tokens: int
    spans: tuple[Span, ...] = ()


class _Ranked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file with its score, and where that comes from: `breakdown` is signal to points.

    `flag`: why it is less worth reading than its score says: vendored, generated, minified, too_large; or empty.
    """

    path: str
    category: Category
    score: float
    breakdown: dict[str, float]
    size_bytes: int
    sha256: str
    flag: str = ""


class Candidate(_Ranked, frozen=True, kw_only=True):
    """A file that was ranked. `forms`: from the smallest to the largest, at least one."""

    forms: tuple[Form, ...]


class ManifestFile(_Ranked, frozen=True, kw_only=True):
    """A file of a manifest. `included_as`: target and pin are in whatever their score; ranked is in by its score."""

    mode: Mode
    tokens: int
    included_as: Literal["target", "pin", "ranked"] = "ranked"
    spans: tuple[Span, ...] = ()


class ExcludedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that is not in, and why: budget, max_files, cap, banned, duplicate, binary, too_large, ..."""

    path: str
    reason: str
    score: float = 0.0
    detail: str = ""


class SelectionParams(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What was asked, so that a manifest can be made again."""

    task_type: TaskType
    text_sha256: str
    keywords: tuple[str, ...]
    target_files: tuple[str, ...]
    scope: tuple[str, ...]
    max_tokens: int
    max_files: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The broker's answer. Same tree, same request, same bytes.

    `generated_at`: the time of the commit that the tree grew from, so that a repeat has the same bytes (empty without
    one). `files`: by score, then size, then path, targets and pins first; `tests`: the same for test files. `excluded`
    names at most the best hundred that are out; `excluded_by` counts them all by reason. `tokens_by`: who counted.
    """

    manifest_version: Literal[1] = 1
    generated_at: str = ""
    root: str = "."
    tree: str = ""
    selection_params: SelectionParams
    config_fingerprint: str
    tokens_by: str
    total_files: int
    total_tokens: int
    truncated: bool
    files: tuple[ManifestFile, ...] = ()
    tests: tuple[ManifestFile, ...] = ()
    excluded: tuple[ExcludedFile, ...] = ()
    excluded_by: dict[str, int] = {}
    warnings: tuple[str, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a file is in a manifest or out of it. `rank`: from 1 among all ranked files, 0 if it was not ranked.

    `reason`: target, pin, ranked, or why it is out (see ExcludedFile). `matches`: signal to what it found, best first.
    """

    path: str
    included: bool
    reason: str
    detail: str = ""
    rank: int = 0
    ranked: int = 0
    score: float = 0.0
    breakdown: dict[str, float] = {}
    matches: dict[str, tuple[str, ...]] = {}
    mode: str = ""
    tokens: int = 0
    spans: tuple[Span, ...] = ()
