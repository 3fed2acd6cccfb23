"""What a gate printed and which files it named, as text that is safe to show."""

from pathlib import Path

from branchline.process.output import readable, tail
from branchline.views.format.text import printable


def printed(path: Path, characters: int) -> str:
    """The last characters of a log, without control sequences."""
    return readable(tail(path, 4 * characters))[-characters:]


def shown(path: str) -> str:
    """A file name on one line and as valid text, whatever bytes it holds."""
    return printable(path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
