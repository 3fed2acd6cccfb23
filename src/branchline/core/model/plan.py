"""The accepted split of a request into workstreams."""

from typing import Annotated, Any, Literal

import msgspec

from branchline.core.durations import Duration
from branchline.core.rules.globs import matches_any

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]+$", max_length=64)]
Glob = Annotated[str, msgspec.Meta(min_length=1)]
Argv = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything that a user writes in a file."""


class Scope(Model, frozen=True, kw_only=True):
    """Which files a workstream may touch: `write` globs, less those of `protect`. Without `write`: every file."""

    write: Annotated[tuple[Glob, ...], msgspec.Meta(min_length=1)] = ()
    protect: tuple[Glob, ...] = ()

    @property
    def globs(self) -> tuple[Glob, ...]:
        """What may be written, `protect` and the settings' protected paths aside."""
        return self.write or ("**",)

    def holds(self, path: str) -> bool:
        """Whether a workstream may write a path, the settings' protected paths aside."""
        return matches_any(self.globs, path) and not matches_any(self.protect, path)


class WriteFile(Model, frozen=True, kw_only=True):
    """Write a whole file."""

    path: str
    content: str


class EditFile(Model, frozen=True, kw_only=True):
    """Replace the only occurrence of `old` by `new`."""

    path: str
    old: Annotated[str, msgspec.Meta(min_length=1)]
    new: str


class DeleteFile(Model, frozen=True, kw_only=True):
    """Delete a file."""

    path: str


class Used(Model, frozen=True, kw_only=True):
    """What the scripted agent says that it has used; null is "it cannot be told"."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None


class Action(Model, frozen=True, kw_only=True):
    """One thing that the scripted agent does; exactly one member is set."""

    write: WriteFile | msgspec.UnsetType = msgspec.UNSET
    edit: EditFile | msgspec.UnsetType = msgspec.UNSET
    delete: DeleteFile | msgspec.UnsetType = msgspec.UNSET
    run: Argv | msgspec.UnsetType = msgspec.UNSET
    sleep: Annotated[float, msgspec.Meta(ge=0)] | msgspec.UnsetType = msgspec.UNSET
    fail: str | msgspec.UnsetType = msgspec.UNSET
    hang: bool | msgspec.UnsetType | None = msgspec.UNSET
    answer: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    usage: Used | msgspec.UnsetType = msgspec.UNSET


Script = tuple[Action | Literal["hang"], ...]


class Workstream(Model, frozen=True, kw_only=True):
    """One line of work: one branch, one worktree, one agent."""

    id: Name
    title: str = ""
    prompt: str = ""
    depends_on: tuple[Name, ...] = ()
    priority: int = 0
    scope: Scope = Scope()
    agent: str | None = None
    timeout: Duration | None = None
    script: Script = ()
    repair_scripts: tuple[Script, ...] = ()

    def script_of_round(self, number: int) -> Script:
        """The scripted agent's actions in a round, counted from 1; past the last repair script there are none."""
        scripts = (self.script, *self.repair_scripts)
        return scripts[number - 1] if number <= len(scripts) else ()


class Plan(Model, frozen=True, kw_only=True):
    """What a run carries out."""

    version: Literal[1]
    goal: str = ""
    workstreams: Annotated[tuple[Workstream, ...], msgspec.Meta(min_length=1)]

    @property
    def ids(self) -> tuple[str, ...]:
        """The workstreams' ids, in the order of the plan."""
        return tuple(w.id for w in self.workstreams)

    def workstream(self, name: str) -> Workstream:
        """The workstream of that id. Raises KeyError."""
        return {workstream.id: workstream for workstream in self.workstreams}[name]
