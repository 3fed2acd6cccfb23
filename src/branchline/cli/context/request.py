"""What `branchline context` is asked: the task, the settings of the repository, and the options that change them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from branchline.cli.given_text import STDIN, given_text
from branchline.core.model.manifest import ContextRequest, ContextSettings, TaskType
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput

FILES = ("branchline.yaml", "pyproject.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of the command; None leaves a thing to the settings."""

    root: Path
    task_type: TaskType
    input: Path | None
    keywords: tuple[str, ...]
    target: tuple[str, ...]
    pin: tuple[str, ...]
    ban: tuple[str, ...]
    max_tokens: int | None
    max_files: int | None
    window: int | None
    no_tests: bool
    no_dependencies: bool
    exact_tokens: bool
    config: Path | None


def asked(words: tuple[str, ...], options: Options) -> tuple[ContextRequest, str | None]:
    """The request, and with `explain FILE` the file that it is about, as a path in the root.

    Raises UsageError, InvalidInput.
    """
    file, text = _split(words)
    request = ContextRequest(
        task_type=options.task_type,
        text=_task(text, options.input),
        keywords=tuple(
            word for option in options.keywords for word in compiled(r"[,\s]+").split(_clean(option)) if word
        ),
        targets=tuple(dict.fromkeys(in_root(options.root, path) for path in options.target)),
        settings=_settings(options),
    )
    if file is not None:
        return request, in_root(options.root, file)
    if not (request.text.strip() or request.keywords or request.targets or options.pin):
        raise click.UsageError("there is no task: give TEXT, --input FILE, --keywords or --target")
    return request, None


def _split(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """The file of `explain FILE [TEXT]` and the text. One word is always a text, but for `explain`, which needs a file."""
    match words:
        case ():
            return None, None
        case ("explain",):
            raise click.UsageError("explain needs FILE: branchline context explain FILE [TEXT]")
        case ("explain", file, *text) if len(text) <= 1:
            return file, text[0] if text else None
        case (text,):
            return None, text
    raise click.UsageError("TEXT is one argument; put the task in quotes")


def _task(text: str | None, file: Path | None) -> str:
    """The task in words: the argument, the file, or what comes on stdin if that is no terminal."""
    if text is not None and file is not None:
        raise click.UsageError("choose one: TEXT or --input")
    if text == STDIN or file is not None:
        return given_text(file, option="--input")
    if text is not None:
        return _clean(text)
    return "" if sys.stdin.isatty() else given_text(None, option="--input")


def _clean(text: str) -> str:
    """Arguments are bytes; those that are no UTF-8 are not part of a task."""
    return os.fsencode(text).decode("utf-8", "replace")


def in_root(root: Path, path: str) -> str:
    """A file as a path in the root, given relative to it, to where we are, or absolute; it may be missing.

    Raises InvalidInput for one outside and for a folder.
    """
    try:
        is_name = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        is_name = False
    if not is_name:
        raise InvalidInput(f"{path!r} cannot be the name of a file", hint="name files below --root")
    places = [os.path.normpath(os.path.join(base, path)) for base in (root, os.getcwd())]
    place = next(filter(os.path.lexists, places), places[0])
    # The folder is resolved, as the root is; the file itself may be a link in the tree.
    inside = os.path.relpath(os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place)), root)
    if inside.split(os.sep)[0] == os.pardir:
        raise InvalidInput(f"{path!r} is not in {root}", hint="name files below --root")
    if os.path.isdir(place):
        below = os.path.normpath(os.path.join(inside, "**"))
        raise InvalidInput(f"{path!r} is a folder, not a file", hint=f"--pin '{below}' asks for all that is in it")
    return inside


def _settings(options: Options) -> ContextSettings:
    """Those of --config or of the repository, with what the options say."""
    found = configured(options.root, options.config)
    if options.pin or options.ban:  # refuse what a file would be refused for, before anything is indexed
        from branchline.config.checks import check_context
        from branchline.config.document import Builder, Place

        if "" in (*options.pin, *options.ban):
            raise InvalidInput("a glob is empty", hint="--pin 'docs/**'")
        for _, message, hint in check_context(Builder().of({"pin": options.pin, "ban": options.ban}, Place(0, 0))):
            raise InvalidInput(message, hint=hint)
    numbers = {name: getattr(options, name) for name in ("max_tokens", "max_files", "window")}
    return msgspec.structs.replace(
        found,
        pin=(*found.pin, *options.pin),
        ban=(*found.ban, *options.ban),
        include_tests=found.include_tests and not options.no_tests,
        include_dependencies=found.include_dependencies and not options.no_dependencies,
        exact_tokens=found.exact_tokens or options.exact_tokens,
        **{name: number for name, number in numbers.items() if number is not None},
    )


def configured(root: Path, file: Path | None = None) -> ContextSettings:
    """The settings in a file, else those of the repository that a folder is in, or of the folder. Raises InvalidFile.

    Files that have not the word `context` are not read any further: that takes longer than a question does.
    """
    top = next((folder for folder in (root, *root.parents) if os.path.exists(folder / ".git")), root)
    if file is None and not any(_mentions(top / name) for name in FILES):
        return ContextSettings()
    from branchline.config.load import load_context

    return load_context(file, root=top)


def _mentions(path: Path) -> bool:
    """Whether a file may have a `context` key; one that is there and cannot be read may."""
    try:
        return b"context" in path.read_bytes()
    except OSError:
        return os.path.lexists(path)
