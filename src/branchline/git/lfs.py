"""Git LFS: what a pointer names, and content on its way into the user's store, beside the objects of git."""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from branchline.errors import GitError

MOST_BYTES = 1024  # of a pointer: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
_POINTER = re.compile(
    rb"version https?://[^\n]+\n(?:ext-[^\n]+\n)*oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>[0-9]+)\n?"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """What git stores in the place of a file: the SHA-256 of its content, and its size."""

    oid: str
    size: int


def pointer(data: bytes) -> Pointer | None:
    """Return what a blob names, or None: it is no pointer."""
    match = _POINTER.fullmatch(data) if len(data) < MOST_BYTES else None
    return Pointer(match["oid"].decode(), int(match["size"])) if match else None


def place(store: Path, oid: str) -> Path:
    """Return where a store keeps the content of an object."""
    return store / "objects" / oid[:2] / oid[2:4] / oid


def require_true(path: Path, oid: str) -> None:
    """Raise GitError unless a file's content is what its name in the store says: a filter wrote it, not we."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != oid:
        raise GitError(f"Git LFS stored content under a wrong name: {oid} is {found}")


def missing(stores: Iterable[Path], pointers: Iterable[Pointer]) -> list[Pointer]:
    """Return the pointers whose content is in none of the stores; an empty file needs none."""
    there = tuple(stores)
    return [one for one in pointers if one.size and not any(os.path.isfile(place(store, one.oid)) for store in there)]
