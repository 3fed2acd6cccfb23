"""Analysing blobs and storing what was found, so that other processes may do the same at the same time."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from branchline.context.code.analysis import Analysis, Pieces
from branchline.context.index.content import File
from branchline.context.index.database import sealed, transaction, turn
from branchline.context.index.postings import Segment, chunked, merge, put_segment
from branchline.context.index.scan import Tree

Analyse = Callable[[bytes, str], Analysis]
"""From the bytes of a blob and the last name of its path to its analysis."""
_BATCH_BYTES = 16 << 20
_BATCH_BLOBS = 4000
_encode = msgspec.msgpack.Encoder().encode


def batches(tree: Tree, missing: Iterable[File]) -> Iterator[dict[File, bytes]]:
    """Read some files of a tree, a bounded number at a time; what cannot be read is left out."""
    batch: dict[File, bytes] = {}
    room = _BATCH_BYTES
    for file, data in tree.read(missing):
        if data is None:
            continue
        batch[file] = data
        room -= len(data)
        if room < 0 or len(batch) == _BATCH_BLOBS:
            yield batch
            batch, room = {}, _BATCH_BYTES
    if batch:
        yield batch


def write(database: sqlite3.Connection, path: Path | None, batch: dict[File, bytes], analyse: Analyse) -> int:
    """Analyse and store the blobs that no other process has stored since; how many. Raises sqlite3.DatabaseError."""
    with turn(path):
        known = rows_of(database, [file.key for file in batch])
        fresh = [file for file in batch if file.key not in known]
        if not fresh:
            return 0
        with transaction(database):  # so many numbers that are never given again
            first = int(database.execute("SELECT next_blob FROM counter").fetchone()[0])
            database.execute("UPDATE counter SET next_blob = ?", (first + len(fresh),))
        segment, rows, analyses = Segment(), [], []
        for blob, file in enumerate(fresh, first):
            analysis = analyse(batch[file], file.path.rpartition("/")[2])
            pieces = Pieces.of(analysis.chunks, segment.terms)
            rows.append((blob, file.key, segment.add(blob, analysis, pieces), analysis.flag != "binary"))
            outline = msgspec.structs.replace(analysis, chunks=())
            analyses.append((blob, sealed(_encode(outline)), sealed(_encode(pieces))))
        with transaction(database):
            # A process that did not wait for its turn may have stored one of them too: its number then stays unused.
            database.executemany("INSERT OR IGNORE INTO blob VALUES (?, ?, ?, ?)", rows)
            database.executemany("INSERT INTO analysis VALUES (?, ?, ?)", analyses)
            put_segment(database, segment.rows())
        with suppress(sqlite3.OperationalError):  # what was analysed is stored; the next one that writes merges
            merge(database)
    return len(fresh)


def rows_of(database: sqlite3.Connection, keys: Iterable[bytes]) -> dict[bytes, tuple[int, int, int]]:
    """The (number, terms, is text) of those keys that are in the index."""
    found: dict[bytes, tuple[int, int, int]] = {}
    for some in chunked(list(keys)):
        wanted = ",".join("?" * len(some))
        asked = f"SELECT key, id, terms, is_text FROM blob WHERE key IN ({wanted})"  # noqa: S608 - question marks only
        found.update((key, row) for key, *row in database.execute(asked, some))
    return found
