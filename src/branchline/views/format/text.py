"""Plain text for terminals: safe to print, aligned, 80 columns, nothing hidden; colours are the caller's business."""

import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import accumulate, takewhile
from unicodedata import combining, east_asian_width

from branchline.core.model.agent import Progress
from branchline.core.states import State

COLUMNS = 80
LONGEST_CELL = 1000
SUBJECT_COLUMNS = 100  # of a title; git shows some seventy of a subject
NARROWEST = 24
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
THOUSAND, MILLION = 1000, 1_000_000
CENT, SMALLEST_AMOUNT = 0.01, 0.0001

MARKS = {
    State.PENDING: "·",
    State.RUNNING: "▶",
    State.COMPLETED: "✓",
    State.FAILED: "✗",
    State.SKIPPED: "-",
    State.CANCELLED: "⊘",
}


def plain(text: str) -> str:
    """Untrusted text on one line: white space becomes one blank, all else that does not print is written out."""
    return printable(" ".join(text.split()))


def subject(text: str) -> str:
    """Untrusted text as the first line of a commit message: one clean line, not too long."""
    return cut(plain(text), SUBJECT_COLUMNS)


def printable(text: str, keep: str = "") -> str:
    """The text with what does not print, or could hide something, written out: an escape becomes its code."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shown(path: str) -> str:
    """A file name on one line and as valid text, whatever bytes it holds."""
    return printable(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def encodable(text: str) -> str:
    """The text with the bytes of file names that are not UTF-8 written out, so that every encoder takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def width(text: str) -> int:
    """Columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits with an ellipsis."""
    if width(text) <= columns:
        return text
    taken = accumulate(map(width, text))
    return text[: sum(1 for _ in takewhile(lambda used: used < columns, taken))].rstrip() + "…"


def padded(text: str, columns: int) -> str:
    """The text, filled up with blanks."""
    return text + " " * (columns - width(text))


def duration(milliseconds: int) -> str:
    """A length of time at the precision that a reader wants: 340ms, 4.2s, 1m 05s, 2h 03m."""
    if milliseconds < SECOND:
        return f"{max(milliseconds, 0)}ms"
    if milliseconds < MINUTE:
        return f"{milliseconds // 100 / 10:.1f}s"
    if milliseconds < HOUR:
        return f"{milliseconds // MINUTE}m {milliseconds % MINUTE // SECOND:02d}s"
    return f"{milliseconds // HOUR}h {milliseconds % HOUR // MINUTE:02d}m"


def clock(milliseconds: int) -> str:
    """The time of day in UTC, e.g. 12:00:01.123."""
    whole, rest = divmod(milliseconds, SECOND)
    return f"{datetime.fromtimestamp(whole, UTC):%H:%M:%S}.{rest:03d}"


def moment(milliseconds: int) -> str:
    """Date and time in UTC to the second, e.g. 2026-11-22 17:25:00 UTC."""
    return f"{datetime.fromtimestamp(milliseconds // SECOND, UTC):%Y-%m-%d %H:%M:%S} UTC"


def short(oid: str) -> str:
    """The beginning of an object id or of a digest: as much as people compare."""
    return oid[:12]


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 file, 2 files."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def wrapped(text: str, *, indent: str, columns: int = COLUMNS) -> list[str]:
    """One paragraph of untrusted text, each line indented."""
    room = max(columns - len(indent), NARROWEST)
    lines = textwrap.wrap(cut(plain(text), LONGEST_CELL), room, break_on_hyphens=False, break_long_words=False)
    return [indent + line for line in lines]


def paragraphs(texts: Iterable[str]) -> list[str]:
    """Some paragraphs of untrusted text, indented as a table is."""
    return [line for text in texts for line in wrapped(text, indent="  ")]


def table(rows: Sequence[Sequence[str]], *, indent: str = "  ", columns: int = COLUMNS) -> list[str]:
    """Rows with aligned columns; the last column is wrapped into the room that is left. Rows are of equal length."""
    if not rows:
        return []
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in list(zip(*cells, strict=True))[:-1]]
    lines = []
    for row in cells:
        head = indent + "".join(padded(cell, w) + "  " for cell, w in zip(row[:-1], widths, strict=True) if w)
        last = wrapped(row[-1], indent=" " * width(head), columns=columns) or [""]
        lines += [(head + last[0].lstrip()).rstrip(), *last[1:]]
    return lines


def section(title: str, body: Sequence[str]) -> list[str]:
    """A heading with its body, after an empty line; nothing without a body."""
    return ["", title, *body] if body else []


def dollars(amount: float) -> str:
    """Money in US dollars, to the cent; what is less than a cent keeps four places, so that it does not become zero."""
    if 0 < amount < SMALLEST_AMOUNT:
        return f"<${SMALLEST_AMOUNT}"
    return f"${amount:,.4f}" if 0 < amount < CENT else f"${amount:,.2f}"


def thousands(number: float) -> str:
    """A number to about two digits: 950, 1.2k, 12k, 3.4M."""
    for size, sign in ((MILLION, "M"), (THOUSAND, "k")):
        if number >= size:
            return f"{number / size:.1f}{sign}" if number < 10 * size else f"{int(number) // size}{sign}"
    return str(int(number))


def progress_line(progress: Progress) -> str:
    """What a running agent's stream has told so far: `Edit src/x.py · 3 files · 12k tokens · $0.02`; empty if nothing."""
    told = [
        progress.doing,
        count(len(progress.files), "file") if progress.files else "",
        f"{thousands(progress.tokens)} tokens" if progress.tokens else "",
        dollars(progress.cost_usd) if progress.cost_usd else "",
    ]
    return " · ".join(filter(None, told))
