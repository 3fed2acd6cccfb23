"""What the user's git is set to, for repositories of ours that must store content as the user's does."""

import os
from ast import literal_eval
from contextlib import suppress
from pathlib import Path

from branchline.git.repo import Repo


def config_text(repo: Repo) -> str:
    """The configuration of a workspace."""
    settings = (repo.content.git_dir / "config").read_text("utf-8", "surrogateescape")
    return settings.replace("bare = true", "bare = false")


def excluded(repo: Repo) -> dict[str, bytes]:
    """The files of `info/` of a workspace."""
    found = {}
    with suppress(OSError):
        found["exclude"] = (repo.content.git_dir / "info" / "exclude").read_bytes()
    return found


def object_folders(repo: Repo) -> list[Path]:
    """The folders with the repository's objects: its own, and those that it borrows from."""
    found, waiting = list[Path](), [repo.common_dir / "objects"]
    while waiting:
        folder = waiting.pop(0).resolve()
        if folder in found or not folder.is_dir():
            continue
        found.append(folder)
        with suppress(OSError):
            lines = (folder / "info" / "alternates").read_bytes().split(b"\n")
            waiting += [folder / os.fsdecode(_unquoted(line)) for line in lines if line and not line.startswith(b"#")]
    return found


def _unquoted(line: bytes) -> bytes:
    """A path of an alternates line, which may stand in quotes: git's escapes are among Python's."""
    if not line.startswith(b'"'):
        return line
    try:
        return str(literal_eval(line.decode("latin-1"))).encode("latin-1")
    except (SyntaxError, ValueError):
        return line
