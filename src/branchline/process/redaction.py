"""Values that must reach no log and no ledger, wherever a program has printed them: known ones, and what has a key's form."""

import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from branchline.core.rules.linear import compiled
from branchline.core.rules.secret_rules import LONGEST, PICTURE, Match, candidates
from branchline.process.output import open_regular
from branchline.process.trees import walk

SECRET = compiled(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
SHORTEST = 8  # characters; what is shorter would be found in innocent words
HIDDEN = "[secret]"
MOST = 2000  # keys of a piece that are told apart; the rest of such a piece goes as a whole
REST = "what stands after that many"
CHUNK = 1 << 20
LARGEST = 16 << 20  # bytes of a file in a folder; what is larger is no program's memory, and takes its time to read
ALL_OF_A_FOLDER = 256 << 20  # bytes of its files
WITHIN = 20.0  # seconds for a folder

_WORDS = compiled(r"[A-Za-z/_.: -]{1,11}")


def telling(environ: Mapping[str, str]) -> list[str]:
    """The values of secret variables that can be told from innocent text: neither a path nor a short word."""
    named = {value for name, value in environ.items() if SECRET.search(name) and len(value) >= SHORTEST}
    return sorted(value for value in named if not value.startswith(("/", "~", "./")) and not _WORDS.fullmatch(value))


class Secrets:
    """The values of the variables whose names say that they are secret, and `more` of them."""

    def __init__(self, environ: Mapping[str, str], more: Iterable[str] = ()) -> None:
        named = (value for name, value in environ.items() if SECRET.search(name))
        self._values = sorted(
            {value for value in (*named, *more) if len(value) >= SHORTEST}, key=lambda one: (-len(one), one)
        )
        # JSON escapes quotes and line ends.
        written = {form for value in self._values for form in (value, json.dumps(value, ensure_ascii=False)[1:-1])}
        self._written = [os.fsencode(value) for value in sorted(written, key=lambda one: (-len(one), one))]

    def text(self, text: str) -> str:
        """A text without them, and without whatever has the form of a key."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return _replaced(text.encode("utf-8", "surrogatepass"), lambda _: HIDDEN.encode()).decode(
            "utf-8", "surrogatepass"
        )

    def clean(self, value: Any) -> Any:
        """A struct, or data such as JSON holds, without them; keys too."""
        if type(value) is str:  # a member of an enumeration is none
            return self.text(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self.clean, value))
        if isinstance(value, dict):
            return {self.clean(key): self.clean(one) for key, one in value.items()}
        if isinstance(value, msgspec.Struct):
            members = {name: getattr(value, name) for name in value.__struct_fields__}
            cleaned = {name: new for name, one in members.items() if (new := self.clean(one)) != one}
            return msgspec.structs.replace(value, **cleaned) if cleaned else value
        return value

    def clean_folder(self, folder: Path, *, within: float = WITHIN) -> str:
        """Clean the files of a folder, and say how many could not be looked through; empty if all could. Follows no link.

        Left out are files with more than 16 MB in them, what is too deep for a path, and what is past 256 MB, or past
        `within` seconds.
        """
        left, until, passed = ALL_OF_A_FOLDER, time.monotonic() + within, 0
        for inside in walk(folder):
            for name in inside.names:
                found = inside.look(name)
                if found is None or not stat.S_ISREG(found.st_mode):
                    continue
                size = min(found.st_size, found.st_blocks * 512)  # holes hold nothing
                if size > min(left, LARGEST) or inside.path is None or time.monotonic() > until:
                    passed += 1
                    continue
                left -= size
                # What its owner may not write, and nobody may make so, stays.
                with suppress(OSError):
                    self.clean_file(folder / inside.path / name)
            if time.monotonic() > until + 1:
                return f"{passed} files or more were not looked through for secrets"
        return f"{passed} files were not looked through for secrets" if passed else ""

    def clean_file(self, path: Path) -> None:
        """Overwrite them in a regular file by as many asterisks, in place: it may be large, and keeps its length.

        A file that has other names too, outside of our folders perhaps, is replaced by a copy. Raises OSError.
        """
        descriptor = open_regular(path)
        if descriptor is None:
            return
        with os.fdopen(descriptor, "rb") as file:
            if all(self._masked(data, whole=True) == data for _, data in self._pieces(file)):
                return
        found = path.lstat()
        if found.st_nlink > 1:
            copy = path.with_name(f".{path.name[:100]}.clean")
            shutil.copy2(path, copy, follow_symlinks=False)
            copy.replace(path)
        path.chmod(stat.S_IMODE(found.st_mode) | stat.S_IWUSR)
        with path.open("r+b") as whole:
            for start, data in self._pieces(whole):
                if (masked := self._masked(data, whole=len(data) < CHUNK)) != data:
                    whole.seek(start)
                    whole.write(masked)

    def _pieces(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """A file piece by piece, each with its place; they overlap, so that no value falls between two."""
        overlap = max(map(len, [*self._written, b" " * LONGEST])) - 1
        start = _next_data(file, 0)
        while data := file.read(CHUNK):
            yield start, data
            if len(data) < CHUNK:
                return
            start = _next_data(file, start + CHUNK - overlap)

    def _masked(self, data: bytes, *, whole: bool) -> bytes:
        """A piece without them; what has a key's form and touches the end may go on: the next piece has all of it."""
        for value in self._written:
            data = data.replace(value, b"*" * len(value))
        open_end = None if whole else len(data)
        return _replaced(
            data, lambda one: None if one.end == open_end and one.kind != REST else b"*" * (one.end - one.start)
        )


def _next_data(file: BinaryIO, start: int) -> int:
    """Go to a place in a file, past the hole that it may lie in; what that is."""
    try:
        return file.seek(start, os.SEEK_DATA)
    except OSError:  # nothing but a hole is left
        return file.seek(0, os.SEEK_END)


def _replaced(data: bytes, by: Callable[[Match], bytes | None]) -> bytes:
    """The data with something else, of any length, in the place of what has a key's form; None leaves it there."""
    pieces, at = list[bytes](), 0
    for number, one in enumerate(candidates(data)):
        match = one if number < MOST else Match(one.start, len(data), REST)
        if match.kind != PICTURE and (instead := by(match)) is not None:
            pieces += data[at : match.start], instead
            at = match.end
        if match.kind == REST:
            break
    return b"".join((*pieces, data[at:])) if pieces else data


def _longest_first(value: str) -> tuple[int, str]:
    return -len(value), value
