"""A context manifest for people: its files by rank, with what they cost and why they are in; why a file is out."""

from collections.abc import Mapping, Sequence

from branchline.core.model.manifest import Explanation, Manifest, ManifestFile, Span
from branchline.views.format.text import COLUMNS, count, duration, padded, plain, section, table, wrapped

BAR = 8
NARROW = 60  # columns; below them a path has more need of the room than the bar and the mode
REASONS, RANGES = 3, 3
SMALLEST_POINTS = 0.005

REASON = {
    "ranked": "its rank earns it a place",
    "target": "it is a target",
    "pin": "a pin glob matches it",
    "budget": "the budget has no room left for it",
    "max_files": "as many files are in as may be",
    "cap": "as many files of its category are in as may be",
    "banned": "a ban glob matches it",
    "secret": "its name is one of files that hold secrets",
    "missing": "there is no such file",
    "duplicate": "another file has the same content",
    "tests": "tests were not wanted",
    "binary": "it is binary",
    "too_large": "it is larger than a file may be",
    "link": "links are not followed",
    "submodule": "it is another repository",
    "unreadable": "it cannot be read",
    "no_match": "nothing in it fits the task",
}
"""What the reasons of a manifest mean; one that is not here is shown as it is."""


def manifest_lines(manifest: Manifest, *, columns: int = COLUMNS) -> list[str]:
    """The files and the tests, two lines each: rank, score, tokens, mode, path with its lines; then the reasons."""
    best = max((file.score for file in (*manifest.files, *manifest.tests)), default=0.0)
    out: list[str] = []
    for title, files in (("Files", manifest.files), ("Tests", manifest.tests)):
        ranked = enumerate(files, start=1)
        out += section(title, [line for rank, file in ranked for line in _file_lines(rank, file, best, columns)])
    return out[1:] or ["No file fits"]


def _file_lines(rank: int, file: ManifestFile, best: float, columns: int) -> list[str]:
    head = f"  {rank:>3}  {file.tokens:>7,}  "
    if columns >= NARROW:
        bar = "━" * max(0, round(BAR * file.score / best)) if best > 0 else ""
        head = f"  {rank:>3}  {padded(bar, BAR)}  {file.tokens:>7,}  {file.mode:<7}  "
    indent = " " * len(head)
    ranges = _ranges(file.spans) if file.mode == "excerpt" else ""  # an outline has a line here and a line there
    where = wrapped(f"{file.path}:{ranges}" if ranges else file.path, indent=indent, columns=columns)
    first = where[0].removeprefix(indent) if where else ""  # a name of blanks alone
    # How it came in, if not by its score, what speaks against it, and the signals that gave it the most points.
    points = [(name, value) for name, value in _by_points(file.breakdown) if value >= SMALLEST_POINTS][:REASONS]
    told = [f"{_words(name)} {value:.2f}" for name, value in points]
    why = ", ".join(filter(None, ["" if file.included_as == "ranked" else file.included_as, file.flag, *told]))
    return [head + first, *where[1:], *wrapped(why, indent=indent, columns=columns)]


def _ranges(spans: Sequence[Span]) -> str:
    """The longest of them, in the order of the file, and how many more there are."""
    longest = sorted(sorted(spans, key=lambda span: span.start - span.end)[:RANGES], key=lambda span: span.start)
    shown = [f"{span.start}-{span.end}" if span.end > span.start else str(span.start) for span in longest]
    return ",".join([*shown, *([f"+{len(spans) - RANGES}"] if len(spans) > RANGES else [])])


def _by_points(breakdown: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(breakdown.items(), key=lambda item: (-item[1], item[0]))


def _words(name: str) -> str:
    return name.replace("_", " ")


def summary(manifest: Manifest, *, indexed: int = 0, elapsed_ms: int = 0) -> str:
    """What it comes to in one line: files, tokens, what was left out; `indexed` new files took `elapsed_ms`."""
    used, budget = f"{manifest.total_tokens:,}", f"{manifest.selection_params.max_tokens:,}"
    parts = [count(manifest.total_files, "file"), f"{used} of {budget} tokens ({manifest.tokens_by})"]
    if manifest.excluded_by:
        reasons = sorted(manifest.excluded_by.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{_words(reason)} {number:,}" for reason, number in reasons)
        parts.append(f"{sum(manifest.excluded_by.values()):,} left out: {told}")
    files = "file" if indexed == 1 else "files"
    new = f"; indexed {indexed:,} new {files} in {duration(elapsed_ms)}" if indexed else ""
    return ", ".join(parts) + new


def explanation_lines(found: Explanation, *, columns: int = COLUMNS) -> list[str]:
    """Why a file is in or out, what it scored, and what each signal found in it."""
    text = REASON.get(found.reason, _words(found.reason))
    rows = [("why", f"{text}: {found.detail}" if found.detail else text)]
    if found.rank:
        rows.append(("rank", f"{found.rank:,} of {found.ranked:,}, score {found.score:.2f}"))
    if found.mode:
        rows.append(("form", f"{found.mode}, {found.tokens:,} tokens"))
    if found.spans:
        rows.append(("lines", ", ".join(f"{_ranges([span])} {span.name}".rstrip() for span in found.spans)))
    signals = [
        (_words(name), f"{points:.2f}", ", ".join(found.matches.get(name, ())))
        for name, points in _by_points(found.breakdown)
    ]
    rest = found.matches.items()
    signals += [(_words(name), "", ", ".join(texts)) for name, texts in rest if name not in found.breakdown]
    out = [f"{plain(found.path)}: {'in' if found.included else 'out'}", *table(rows, columns=columns)]
    return [*out, *section("Signals", table(signals, columns=columns))]
