"""What goes where: data on stdout, words about it on stderr, colour only for eyes."""

import contextlib
import json
import os
import sys
from collections.abc import Generator, Iterable
from typing import Any, TextIO

import msgspec

from branchline.core.rules.linear import compiled
from branchline.views.format.text import printable

GREEN, RED, YELLOW, CYAN, DIM, BOLD, PLAIN = (f"\x1b[{n}m" for n in ("32", "31", "33", "36", "2", "1", "0"))
ERASE = "\r\x1b[K"

PATCH_COLOURS = (("diff ", BOLD), ("+++", BOLD), ("---", BOLD), ("+", GREEN), ("-", RED), ("@@", CYAN))
_COLOURS = {
    GREEN: ("succeeded", "landed", "completed", "merged", "ok", "✓"),
    RED: ("failed", "missing", "✗"),
    YELLOW: ("partial", "cancelled", "interrupted", "warning", "⊘"),
    CYAN: ("running", "▶"),
    DIM: ("pending", "skipped", "·"),
}
_COLOUR_OF = {word: colour for colour, words in _COLOURS.items() for word in words}
# A word is a state only as a whole cell of a table or as the status after the run's name.
_STATES = compiled(rf"(?:(?<=  )|(?<=: )|^)({'|'.join(_COLOUR_OF)})(?=  |, |: |$| (?=[\w]))")


def emit(value: Any) -> None:
    """Print a value (anything that msgspec takes) as JSON; ASCII, because file names may hold bytes that are no text."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), indent=2) + "\n")


def show(lines: Iterable[str]) -> None:
    """Print lines of text that somebody asked for."""
    _write(sys.stdout, lines)


def say(*lines: str) -> None:
    """Tell what is going on. Nobody listening is no reason to stop."""
    with contextlib.suppress(OSError):
        _write(sys.stderr, lines)
        sys.stderr.flush()


def passing(text: str = "") -> None:
    """Show on a terminal what is being done, in a line that the next one overwrites; without text, take it away."""
    if is_live(sys.stderr):
        with contextlib.suppress(OSError):
            sys.stderr.write(ERASE + text)
            sys.stderr.flush()


@contextlib.contextmanager
def busy(text: str) -> Generator[None]:
    """Show what is being done until the block ends: its imports alone can take a third of a second."""
    passing(f"{text} ...")
    try:
        yield
    finally:
        passing()


def is_coloured(stream: TextIO) -> bool:
    """Whether a stream wants colours: NO_COLOR, then FORCE_COLOR, then what it is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") != "0":
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def is_live(stream: TextIO) -> bool:
    """Whether a stream is a terminal with somebody before it."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def painted(line: str) -> str:
    """A line of a view with its states coloured, and bold if it is a heading: no cells, no indent, no time of day."""
    if "  " in line or not line[:1].isalpha():
        return _STATES.sub(lambda m: f"{_COLOUR_OF[m[1]]}{m[1]}{PLAIN}", line)
    return BOLD + _STATES.sub(lambda m: f"{_COLOUR_OF[m[1]]}{m[1]}{PLAIN}{BOLD}", line) + PLAIN


def _write(stream: TextIO, lines: Iterable[str]) -> None:
    coloured = is_coloured(stream)
    stream.writelines((painted(line) if coloured else line) + "\n" for line in lines)


def page(patch: bytes) -> None:
    """Show a patch on a terminal, coloured if it wants that, through the user's pager if it is long."""
    import shutil

    import click

    lines = printable(patch.decode("utf-8", "backslashreplace"), "\n\t").splitlines()
    if is_coloured(sys.stdout):
        for number, line in enumerate(lines):
            colour = next((colour for start, colour in PATCH_COLOURS if line.startswith(start)), "")
            lines[number] = f"{colour}{line}{PLAIN}" if colour else line
    if len(lines) < shutil.get_terminal_size().lines:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    else:
        click.echo_via_pager("\n".join(lines) + "\n", color=is_coloured(sys.stdout))
