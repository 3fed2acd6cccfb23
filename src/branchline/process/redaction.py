"""Values that must reach no log and no ledger, wherever a program has printed them: known ones, and what has a key's form.

A known value is found in every spelling in which programs print it, and with control characters between its letters.
"""

import os
import re
import shutil
import stat
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from branchline.core.rules.linear import compiled, linear
from branchline.core.rules.secret_rules import LONGEST, PICTURE, Match, candidates
from branchline.core.rules.spellings import spellings
from branchline.process.output import open_regular
from branchline.process.trees import walk

SECRET = compiled(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)(_|$)", re.IGNORECASE)
SHORTEST = 8  # characters; what is shorter would be found in innocent words
HIDDEN = "[secret]"
MOST = 2000  # keys of a piece that are told apart; the rest of such a piece goes as a whole
REST = "what stands after that many"
CHUNK = 1 << 20
OVERLAP = (
    1 << 16
)  # bytes of two neighbouring pieces of a file: a value with control characters in it is as long at most
LARGEST = 16 << 20  # bytes of a file in a folder; what is larger is no program's memory, and takes its time to read
ALL_OF_A_FOLDER = 256 << 20  # bytes of its files
WITHIN = 20.0  # seconds for a folder

# What a terminal does not show: control sequences and characters, and letters without a width, as UTF-8 has them. Each
# begins with one of these bytes, by which it is looked for.
_LEADS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F, 0xC2, 0xCD, 0xE1, 0xE2, 0xEF, 0xF3])
UNSEEN = compiled(
    rb"[\x00-\x08\x0b-\x1f\x7f\xc2\xcd\xe1\xe2\xef\xf3](?:"
    rb"(?<=\x1b)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\))|(?<=[\x00-\x1f\x7f])|(?<=\xc2)[\x80-\x9f\xad]"
    rb"|(?<=\xcd)\x8f|(?<=\xe1)\xa0\x8e|(?<=\xe2)(?:\x80[\x8b-\x8f\xaa-\xae]|\x81[\xa0-\xaf])"
    rb"|(?<=\xef)(?:\xbb\xbf|\xb8[\x80-\x8f])|(?<=\xf3)\xa0[\x80-\x87][\x80-\xbf])"
)
_IN_URL = compiled(r"://[^\s:/@]{0,100}:([^\s/@]{8,200})@")  # the password
_WORDS = compiled(r"[A-Za-z/_.: -]{1,11}")


def telling(environ: Mapping[str, str]) -> list[str]:
    """The values of secret variables that can be told from innocent text: neither a path nor a short word."""
    named = {value for name, value in environ.items() if SECRET.search(name)}
    named.update(word for value in environ.values() for word in _IN_URL.findall(value))
    named = {value for value in named if len(value) >= SHORTEST}
    return sorted(value for value in named if not value.startswith(("/", "~", "./")) and not _WORDS.fullmatch(value))


class Secrets:
    """The values of the variables whose names say that they are secret, and `more` of them."""

    def __init__(self, environ: Mapping[str, str], more: Iterable[str] = ()) -> None:
        named = (value for name, value in environ.items() if SECRET.search(name))
        self.values = tuple(
            sorted({value for value in (*named, *more) if len(value) >= SHORTEST}, key=lambda one: (-len(one), one))
        )

    @cached_property
    def _pattern(self) -> bytes:
        """All spellings, longest first; empty if there are none."""
        forms = {form for value in self.values for form in spellings(os.fsencode(value))}
        ordered = sorted(forms, key=lambda one: (-len(one), one))
        return b"|".join(map(re.escape, ordered))

    def text(self, text: str) -> str:
        """A text without them, and without whatever has the form of a key."""
        data = text.encode("utf-8", "surrogatepass")
        data = _replaced(data, self._known(data), lambda _: HIDDEN.encode())
        data = _replaced(data, _keys(data), lambda _: HIDDEN.encode())
        return data.decode("utf-8", "surrogatepass")

    def _known(self, data: bytes) -> list[Match]:
        """Where known values stand, in order, as they are or with control characters between their letters."""
        if not self._pattern:
            return []
        look = linear(self._pattern).finditer
        spans = [one.span() for one in look(data)]
        clear = len(data.translate(None, _LEADS)) == len(data)
        bare = data if clear else UNSEEN.sub(b"", data)
        if len(bare) != len(data) and (found := [one.span() for one in look(bare)]):
            place = _places(data)
            spans += [(place(start), place(end - 1) + 1) for start, end in found]
        return list(_merged(sorted(spans)))

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
            if all(self._masked(data, whole=True) == data for _, data, _ in self._pieces(file)):
                return
        found = path.lstat()
        if found.st_nlink > 1:
            copy = path.with_name(f".{path.name[:100]}.clean")
            shutil.copy2(path, copy, follow_symlinks=False)
            copy.replace(path)
        path.chmod(stat.S_IMODE(found.st_mode) | stat.S_IWUSR)
        with path.open("r+b") as whole:
            for start, data, is_last in self._pieces(whole):
                if (masked := self._masked(data, whole=is_last)) != data:
                    whole.seek(start)
                    whole.write(masked)

    def _pieces(self, file: BinaryIO) -> Iterator[tuple[int, bytes, bool]]:
        """A file piece by piece, each with its place and whether it is the last; they overlap: no value falls between two."""
        overlap = max(OVERLAP, LONGEST, *(4 * len(value) for value in self.values), 0)
        start = _next_data(file, 0)
        while data := file.read(CHUNK + overlap):
            is_last = len(data) < CHUNK + overlap
            yield start, data, is_last
            if is_last:
                return
            start = _next_data(file, start + CHUNK)

    def _masked(self, data: bytes, *, whole: bool) -> bytes:
        """A piece without them; what has a key's form and touches the end may go on: the next piece has all of it."""
        data = _replaced(data, self._known(data), lambda one: b"*" * (one.end - one.start))
        open_end = None if whole else len(data)
        return _replaced(
            data,
            _keys(data),
            lambda one: None if one.end == open_end and one.kind != REST else b"*" * (one.end - one.start),
        )


def _next_data(file: BinaryIO, start: int) -> int:
    """Go to a place in a file, past the hole that it may lie in; what that is."""
    try:
        return file.seek(start, os.SEEK_DATA)
    except OSError:  # nothing but a hole is left
        return file.seek(0, os.SEEK_END)


def _keys(data: bytes) -> Iterator[Match]:
    """What has a key's form; where there is too much of it, the rest goes as a whole."""
    for number, one in enumerate(candidates(data)):
        if number == MOST:
            yield Match(one.start, len(data), REST)
            return
        if one.kind != PICTURE:
            yield one


NONE = Secrets({})


def _replaced(data: bytes, matches: Iterable[Match], by: Callable[[Match], bytes | None]) -> bytes:
    """The data with something else, of any length, in the place of what was found; None leaves it there."""
    pieces, at = list[bytes](), 0
    for match in matches:
        if (instead := by(match)) is not None:
            pieces += data[at : match.start], instead
            at = match.end
    return b"".join((*pieces, data[at:])) if pieces else data


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[Match]:
    """Spans that overlap made one."""
    begun: tuple[int, int] | None = None
    for start, end in spans:
        if begun is None or start >= begun[1]:
            if begun is not None:
                yield Match(*begun, "")
            begun = start, end
        else:
            begun = begun[0], max(begun[1], end)
    if begun is not None:
        yield Match(*begun, "")


def _places(data: bytes) -> Callable[[int], int]:
    """Where a byte of the data without its control characters stands in the data itself."""
    bare, real, gone = [0], [0], 0
    for one in UNSEEN.finditer(data):
        gone += one.end() - one.start()
        bare.append(one.end() - gone)
        real.append(one.end())
    return lambda at: at + real[last := bisect_right(bare, at) - 1] - bare[last]
