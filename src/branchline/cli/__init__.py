"""The command line. Importing it costs nothing: a command pays only for what it uses."""

import sys
from collections.abc import Sequence

from branchline._version import __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run `branchline` with these arguments (default: the process's own); the exit code."""
    args = sys.argv[1:] if argv is None else list(argv)
    if args in (["--version"], ["-V"]):
        sys.stdout.write(f"branchline {__version__}\n")
        return 0
    from branchline.cli.boundary import guarded

    return guarded(args)
