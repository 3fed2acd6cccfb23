"""What is wrong with a file that a user wrote: each finding with its line and column, all of them in one error."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from branchline.errors import InvalidInput
from branchline.views.format.text import printable

SHOWN = 50
LONGEST = 1_000


class Place(NamedTuple):
    """Where something is written, counted from 1; line 0 stands for the whole file."""

    line: int
    column: int


class Finding(NamedTuple):
    """Something wrong at a place of a file that the caller knows."""

    place: Place
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong in a file; line and column count from 1, line 0 is the whole file."""

    file: str
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        # Text in one line and of bounded length: a file's words must not command a terminal.
        text = f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else "")
        return printable(text if len(text) <= LONGEST else text[:LONGEST] + "...")


class InvalidFile(InvalidInput):
    """A file cannot be used; `problems` has all that is wrong with it, in the order of the file."""

    def __init__(self, file: str, findings: Iterable[Finding], *, hint: str = "") -> None:
        self.problems = tuple(sorted({Problem(file, *place, message, note) for place, message, note in findings}))
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"and {len(self.problems) - SHOWN} more")
        super().__init__("\n".join(lines), hint=hint)


def suggestion(word: str, known: Sequence[str]) -> str:
    """`did you mean ...?` if a known word is close, else the known words; empty when there is none."""
    close = get_close_matches(word, known, n=1) or [name for name in known if name.lower() == word.lower()]
    if close:
        return f"did you mean '{close[0]}'?"
    return "known: " + ", ".join(known[:30]) if known else ""
