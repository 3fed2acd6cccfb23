"""The one place where errors become words and exit codes."""

import errno
import json
import os
import sys

import click
from click.exceptions import Exit

from branchline.cli.app import app
from branchline.errors import BranchlineError

DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG})

EXIT_USAGE, EXIT_CRASH, EXIT_INTERRUPTED, EXIT_PIPE = 2, 3, 130, 141


def guarded(args: list[str]) -> int:
    """Run the command line; the exit code. No exception leaves, no traceback is shown."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # file names may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")
    try:
        if "_BRANCHLINE_COMPLETE" in os.environ:
            app.main(args, prog_name="branchline")
        try:
            with app.make_context("branchline", list(args)) as root:
                code = app.invoke(root)
        except Exit as end:
            code = end.exit_code
        sys.stdout.flush()
    except BranchlineError as error:
        return _refuse(args, error.message, error.hint, error.exit_code)
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        hint = f"{ctx.command_path if ctx else 'branchline'} --help"
        return _refuse(args, error.format_message(), hint, EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _refuse(args, "interrupted", "", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; the interpreter must not trip over the rest of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except Exception as error:  # noqa: BLE001 - the boundary: a fault of our own becomes a report, not a traceback
        return _fault(args, error)
    return code if isinstance(code, int) else 0


def _refuse(args: list[str], message: str, hint: str, code: int) -> int:
    """Say what is wrong on stderr and, for programs, on stdout."""
    lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
    try:
        sys.stdout.flush()
        sys.stderr.write("\n".join(lines) + "\n")
        if "--json" in args:
            error = {"message": message, "hint": hint, "exit_code": code}
            sys.stdout.write(json.dumps({"error": error}, indent=2) + "\n")
            sys.stdout.flush()
    except OSError:  # nobody is there, or what would hold the words is full; the exit code says enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _fault(args: list[str], error: Exception) -> int:
    """A disk that is full or fails is no fault of ours; anything else becomes a report beside the runs."""
    if isinstance(error, OSError) and error.errno in DISK:
        where = f" {error.filename}" if error.filename else ""
        message = f"cannot write{where}: {error.strerror}; what was done so far is kept"
        return _refuse(args, message, "make room, then: branchline resume", 1)
    import platform
    import shlex
    import tempfile
    import traceback
    from pathlib import Path

    from branchline._version import __version__
    from branchline.cli.history import find_root
    from branchline.ledger.paths import record_home
    from branchline.process.redaction import Secrets, telling

    secrets = Secrets({}, telling(os.environ))
    text = "\n".join(
        [
            f"Branchline {__version__}, Python {platform.python_version()}, {platform.platform()}",
            f"branchline {shlex.join(args)}",
            "",
            *traceback.format_exception(error),
        ]
    )
    runs = record_home(find_root(Path.cwd()))
    folder = runs if os.access(runs, os.W_OK) else None  # None: where temporary files are
    handle, report = tempfile.mkstemp(prefix="crash-", suffix=".txt", dir=folder)
    with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(secrets.text(text))
    message = f"Branchline crashed: {type(error).__name__}: {secrets.text(str(error))}; this is our fault, and your work is safe"
    return _refuse(args, message, f"please report it with the file {report}", EXIT_CRASH)
