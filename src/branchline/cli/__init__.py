"""The command line. Importing it costs nothing: a command pays only for what it uses."""

import os
import sys
from collections.abc import Sequence

from branchline._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run `branchline` with these arguments (default: the process's own); the exit code."""
    if argv is None:
        _open_streams()
        _speak_utf8()
    args = sys.argv[1:] if argv is None else list(argv)
    if args in (["--version"], ["-V"]):
        sys.stdout.write(f"branchline {__version__}\n")
        return 0
    from branchline.cli.boundary import guarded

    return guarded(args)


def _open_streams() -> None:
    """Give a stream that was closed (`>&-`) to /dev/null, or the next file that is opened would take its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale is not UTF-8.

    Titles and file names are not always ASCII, and they become arguments of git (PEP 540).
    """
    if sys.getfilesystemencoding() != "utf-8":
        sys.stdout.flush()
        os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves
