"""What an agent gets to know of the repository: its conventions, and the files to start from."""

from collections.abc import Iterable, Mapping

from branchline.core.agent import ContextFile
from branchline.core.globs import matches_any
from branchline.git.objects import Entry
from branchline.steps.context import Run, StepContext
from branchline.steps.scope import conflict_of, starting_tree, violation
from branchline.views import excerpt

CONVENTIONS = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
CHARACTERS = 6000  # of each of them in a prompt
MOST_FILES, MOST_BYTES = 20, 200_000
SNIFFED = 8000  # bytes in which git, too, looks for a NUL


def conventions(run: Run, files: Mapping[str, Entry]) -> str:
    """The repository's own guidance for those who change it, marked as its; `files` are those of the run's base."""
    parts = []
    for path, text in _guidance(run, files).items():
        parts.append(f"{path}:\n\n{excerpt.fenced(excerpt.beginning(text, CHARACTERS), 'markdown')}")
    return "\n\n".join(parts)


def _guidance(run: Run, files: Mapping[str, Entry]) -> dict[str, str]:
    """The text of each guidance file; one that is a link, or the same as another, is left out."""
    found = {files[path].oid: path for path in reversed(CONVENTIONS) if path in files and _regular(files[path])}
    if not found:
        return {}
    texts = {found[oid]: excerpt.legible(excerpt.decoded(data)) for oid, data in run.repo.read_blobs(found)}
    return {path: texts[path] for path in CONVENTIONS if texts.get(path, "").strip()}


def context_of(ctx: StepContext) -> tuple[ContextFile, ...]:
    """The files that an agent should know from the start, as they are in the tree that its round begins with.

    To edit: existing text files of its scope, at most 20 and 200 KB together; of a scope that holds more, only those in
    conflict and those that the scope or the task names. To read: conventions too long for the prompt.
    """
    run = ctx.run
    files = {entry.path: entry for entry in run.repo.entries(starting_tree(ctx)) if _regular(entry)}
    chosen = _chosen(run, [files[path] for path in _relevant(ctx, files)])
    long = [path for path, text in _guidance(run, files).items() if len(text) > CHARACTERS and path not in chosen]
    return tuple([ContextFile(path=path, role="edit") for path in chosen] + [ContextFile(path=path) for path in long])


def _regular(entry: Entry) -> bool:
    return entry.mode.startswith("100")


def _relevant(ctx: StepContext, paths: Iterable[str]) -> list[str]:
    """The paths that may be changed; if its scope holds too many, those that somebody has named."""
    workstream, conflict = ctx.workstream, conflict_of(ctx).get("paths", ())
    found = [path for path in paths if path in conflict or matches_any(workstream.scope.write, path)]
    if len(found) > MOST_FILES:
        named = {*conflict, *workstream.scope.write}
        found = [path for path in found if path in named or path in workstream.prompt]
    return [path for path in found if violation(ctx, path) is None]  # last, because it is slow


def _chosen(run: Run, candidates: list[Entry]) -> list[str]:
    """As many of the candidates as there is room for, in their order; binary files are left out."""
    if not candidates:
        return []
    sizes, chosen, room = run.repo.sizes(entry.oid for entry in candidates), list[Entry](), MOST_BYTES
    for entry in candidates:
        if len(chosen) < MOST_FILES and sizes[entry.oid] <= room:
            room -= sizes[entry.oid]
            chosen.append(entry)
    text = {oid for oid, data in run.repo.read_blobs({entry.oid for entry in chosen}) if b"\0" not in data[:SNIFFED]}
    return [entry.path for entry in chosen if entry.oid in text]
