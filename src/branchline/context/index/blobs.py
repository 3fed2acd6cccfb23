"""What the index keeps of a blob, as bytes, and which blobs the files of a tree are."""

import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from branchline.context.code.analysis import Analysis, Definition, Import, Pieces, StoredPieces
from branchline.context.index.content import File
from branchline.context.index.postings import Damaged, sealed, unsealed

_ASKED_AT_ONCE = 500
Outline = tuple[str, str, int, int, int, str, tuple[Definition, ...], tuple[Import, ...]]
"""An Analysis without its chunks."""
NO_OUTLINE: Outline = ("", "", 0, 0, 0, "", (), ())
"""Of a blob that is not in the index any more."""


@dataclass(frozen=True, slots=True)
class Members:
    """The blobs of a tree's files, in the files' order.

    `blobs`: their numbers, 0 for one that is not in the index; `terms`: how many each has; `texts`: 1 if it is text.
    """

    blobs: "array[int]"
    terms: "array[int]"
    texts: "array[int]"

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]]) -> "Members":
        """From (number, terms, is text) of each file."""
        blobs, terms, texts = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(array("I", blobs), array("I", terms), array("B", texts))

    def pack(self) -> bytes:
        """All of it as bytes."""
        return sealed(self.blobs.tobytes() + self.terms.tobytes() + self.texts.tobytes())

    @classmethod
    def unpack(cls, data: bytes, count: int) -> "Members":
        """What `pack` made of `count` files. Raises Damaged."""
        packed = unsealed(data)
        if len(packed) != 9 * count:
            raise Damaged("the list of a tree's blobs is of another tree")
        texts = array("B", packed[8 * count :])
        return cls(array("I", packed[: 4 * count]), array("I", packed[4 * count : 8 * count]), texts)


def key_of(file: File) -> bytes:
    """What a blob is known by: its id, and the last name of its path, which says what language it is in."""
    return bytes.fromhex(file.oid) + os.fsencode(file.path.rpartition("/")[2])


def pack(analysis: Analysis, pieces: Pieces) -> tuple[bytes, bytes]:
    """An analysis as bytes: all but its chunks, and the chunks, turned round."""
    about = (analysis.language, analysis.flag, analysis.size, analysis.lines, analysis.tokens, analysis.sha256)
    encode = msgspec.msgpack.Encoder().encode
    return sealed(encode((*about, analysis.definitions, analysis.imports))), sealed(encode(pieces))


def unpack_outline(data: bytes) -> Outline:
    """The first part of `pack`. Raises Damaged."""
    found: Outline = _unpacked(data, Outline)
    return found


def unpack_pieces(data: bytes) -> StoredPieces:
    """The second part of `pack`. Raises Damaged."""
    found: StoredPieces = _unpacked(data, StoredPieces)
    return found


def rows_of(database: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, tuple[int, int, int]]:
    """The (number, terms, is text) of those keys that are in the index."""
    found: dict[bytes, tuple[int, int, int]] = {}
    for some in chunked(keys):
        wanted = ",".join("?" * len(some))
        asked = f"SELECT key, id, terms, is_text FROM blob WHERE key IN ({wanted})"  # noqa: S608 - question marks only
        found.update((key, row) for key, *row in database.execute(asked, some))
    return found


def chunked(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """As many at a time as a question takes."""
    return (keys[at : at + _ASKED_AT_ONCE] for at in range(0, len(keys), _ASKED_AT_ONCE))


def _unpacked(data: bytes, kind: object) -> Any:
    packed = unsealed(data)
    try:
        return _decoder(kind).decode(packed)
    except msgspec.DecodeError as error:
        raise Damaged(f"what the index keeps of a file is no analysis: {error}") from error


@cache
def _decoder(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)
