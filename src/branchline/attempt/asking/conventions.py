"""What an agent gets to know of the repository: its conventions, and the files of its manifest."""

from collections.abc import Callable, Mapping

from branchline.attempt.run import Run
from branchline.core.model.agent import ContextFile
from branchline.core.model.manifest import Manifest, Span
from branchline.git.objects import Entry
from branchline.views.format import excerpt

CONVENTIONS = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md")
CHARACTERS = 6000  # of each of them in a prompt
MOST_SPANS = 6  # of one file; more would say less
BYTES_A_TOKEN = 3  # of a file that is not shown whole; fewer than most have, so that no window overflows
NAMED = "part of the task"
WHY = {"target": NAMED, "pin": "always given"}


def conventions(run: Run, files: Mapping[str, Entry]) -> str:
    """The repository's own guidance for those who change it, marked as its; `files` are those of the run's base."""
    told = _guidance(run, files).items()
    shown = ((path, excerpt.fenced(excerpt.beginning(text, CHARACTERS), "markdown")) for path, text in told)
    return "\n\n".join(f"{path}:\n\n{text}" for path, text in shown)


def unabridged(run: Run, files: Mapping[str, Entry]) -> tuple[str, ...]:
    """The guidance that a prompt holds only the beginning of: it is to be read."""
    return tuple(path for path, text in _guidance(run, files).items() if len(text) > CHARACTERS)


def _guidance(run: Run, files: Mapping[str, Entry]) -> dict[str, str]:
    """The text of each guidance file; one that is a link, or the same as another, is left out."""
    found = {files[path].oid: path for path in reversed(CONVENTIONS) if path in files and regular(files[path])}
    if not found:
        return {}
    texts = {found[oid]: excerpt.legible(excerpt.decoded(data)) for oid, data in run.repo.read_blobs(found)}
    return {path: texts[path] for path in CONVENTIONS if texts.get(path, "").strip()}


def regular(entry: Entry) -> bool:
    """Whether it is a file with content of its own: no link, no submodule."""
    return entry.mode.startswith("100")


def given(manifest: Manifest, may_write: Callable[[str], bool] = lambda _path: False) -> tuple[ContextFile, ...]:
    """The files of a manifest as an agent gets them, best first, tests last; `edit` are those that it may write."""

    def length(span: Span) -> int:
        return span.start - span.end

    return tuple(
        ContextFile(
            path=file.path,
            role="edit" if file.mode != "outline" and may_write(file.path) else "read",
            form=file.mode,
            # the longest of one that is not given whole: the others are single lines of its outline
            spans=tuple(sorted(sorted(file.spans, key=length)[:MOST_SPANS], key=lambda span: span.start)),
            tokens=file.tokens if file.mode == "full" else max(file.tokens, file.size_bytes // BYTES_A_TOKEN),
            why=WHY.get(file.included_as) or ", ".join(sorted(file.breakdown, key=lambda s: -file.breakdown[s])[:2]),
        )
        for file in (*manifest.files, *manifest.tests)
    )
