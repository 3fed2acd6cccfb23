"""The prompts' templates: those that come with Branchline, and those that the repository has in their place."""

from collections.abc import Mapping
from pathlib import Path

from branchline.attempt.run import Run
from branchline.git.objects import Entry
from branchline.views.format.template import TemplateError, faults, render

OVERRIDES = ".branchline/prompts/"
ENDING = ".md"
_WORK = {"goal", "workstream", "title", "task", "round", "rules", "feedback", "diff", "conflict", "others"}
_KNOWN = {"read_files", "gates", "conventions"}
NAMES = {
    "edit": _WORK,
    "repair": _WORK,
    "conflict": _WORK,
    "rules": _KNOWN | {"scope", "protect", "guarded", "edit_files"},
    "plan": _KNOWN | {"request", "tree", "max_workstreams", "overlap", "protect", "guarded", "answer", "errors"},
    "review": _KNOWN | {"goal", "workstream", "title", "task", "scope", "files", "diff"},
}
"""The templates, and the values that each may name."""


def filled(run: Run, files: Mapping[str, Entry], name: str, values: Mapping[str, str]) -> str:
    """The prompt `name`. `files`: those of the run's base. Raises TemplateError if the repository's template is broken."""
    path = f"{OVERRIDES}{name}{ENDING}"
    if path in files:
        return render(_override(run, files[path]), values, name=path)
    own = Path(__file__).with_name("prompt_files").joinpath(f"{name}{ENDING}")
    return render(own.read_text("utf-8"), values, name=own.name)


def problems(run: Run) -> list[str]:
    """What is wrong with the repository's own templates at the run's base, each with file, line and column."""
    found = []
    for path, entry in base_files(run).items():
        if not (path.startswith(OVERRIDES) and path.endswith(ENDING)) or path.endswith("/README.md"):
            continue
        name = path.removeprefix(OVERRIDES).removesuffix(ENDING)
        if name not in NAMES:
            found.append(f"{path}: there is no prompt '{name}'; known are {', '.join(sorted(NAMES))}")
            continue
        try:
            found += [f"{path}:{fault}" for fault in faults(_override(run, entry), NAMES[name])]
        except TemplateError as error:
            found.append(error.message)
    return found


def base_files(run: Run) -> dict[str, Entry]:
    """Every file of the run's base by its path."""
    return {entry.path: entry for entry in run.repo.entries(run.repo.tree_of(run.base))}


def _override(run: Run, entry: Entry) -> str:
    if not entry.mode.startswith("100"):
        raise TemplateError(f"{entry.path} is not a regular file", hint=f"replace {entry.path} by a file")
    try:
        return run.repo.read_blob(entry.oid).decode()
    except UnicodeDecodeError as error:
        raise TemplateError(f"{entry.path} is not UTF-8: {error.reason} at byte {error.start}") from error
