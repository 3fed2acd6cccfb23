"""Untrusted text in Markdown."""

from collections.abc import Iterable, Sequence

from branchline.core.rules.linear import compiled
from branchline.views.format.text import plain

SPECIAL = compiled(r"([\\`*\[\]<>|~])")


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def escaped(text: str) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would act on."""
    return text if isinstance(text, Markdown) else SPECIAL.sub(r"\\\1", plain(text))


def code(text: str) -> Markdown:
    """The text as a code span, whatever backticks it holds."""
    line, fence = plain(text), "`"
    while fence in line:
        fence += "`"
    blank = " " if "`" in line else ""
    return Markdown(f"{fence}{blank}{line}{blank}{fence}" if line else "")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table with an empty line after it; nothing without rows."""
    body = [f"| {' | '.join(map(escaped, row))} |" for row in rows]
    return [f"| {' | '.join(header)} |", "|---" * len(header) + "|", *body, ""] if body else []


def section(title: str, body: Sequence[str]) -> list[str]:
    """A heading with its body; nothing without a body."""
    return [f"## {title}", "", *body] if body else []
