"""Analysing blobs and storing what was found, so that other processes may do the same at the same time."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from branchline.context.code.analysis import Analysis, Pieces
from branchline.context.index import blobs, upkeep
from branchline.context.index.content import File
from branchline.context.index.database import transaction, turn
from branchline.context.index.postings import BLOCK, Segment
from branchline.context.index.scan import Tree

Analyse = Callable[[bytes, str], Analysis]
_BATCH_BYTES = 16 << 20
_BATCH_BLOBS = 4000


class Source(NamedTuple):
    """A blob to analyse: its key, the last name of its path, its bytes."""

    key: bytes
    name: str
    data: bytes


def batches(tree: Tree, missing: dict[bytes, File]) -> Iterator[list[Source]]:
    """Read the missing blobs of a tree, some at a time; what cannot be read is left out."""
    batch: list[Source] = []
    room = _BATCH_BYTES
    for file, data in tree.read(missing.values()):
        if data is None:
            continue
        batch.append(Source(blobs.key_of(file), file.path.rpartition("/")[2], data))
        room -= len(data)
        if room < 0 or len(batch) == _BATCH_BLOBS:
            yield batch
            batch, room = [], _BATCH_BYTES
    if batch:
        yield batch


def write(database: sqlite3.Connection, path: Path | None, batch: list[Source], analyse: Analyse, today: int) -> int:
    """Analyse and store the blobs that no other process has stored since; how many. Raises sqlite3.DatabaseError."""
    with turn(path):
        known = blobs.rows_of(database, [source.key for source in batch])
        fresh = [source for source in batch if source.key not in known]
        if not fresh:
            return 0
        count = len(fresh)  # so many numbers, all of one block, that were never given before
        with transaction(database):
            first = int(database.execute("SELECT next_blob FROM counter").fetchone()[0])
            if first % BLOCK + count > BLOCK:
                first += BLOCK - first % BLOCK
            database.execute("UPDATE counter SET next_blob = ?", (first + count,))
        segment, found = Segment(), []
        for blob, source in enumerate(fresh, first):
            analysis = analyse(source.data, source.name)
            pieces = Pieces.of(analysis.chunks, segment.terms)
            about = (blob, source.key, segment.add(blob, analysis, pieces), analysis.flag != "binary", today)
            found.append((about, *blobs.pack(analysis, pieces)))
        with transaction(database):
            known = blobs.rows_of(database, [source.key for source in fresh])  # another did not wait for its turn
            new = [one for one in found if one[0][1] not in known]
            database.executemany("INSERT INTO blob VALUES (?, ?, ?, ?, ?)", (about for about, _, _ in new))
            database.executemany("INSERT INTO outline VALUES (?, ?)", ((about[0], data) for about, data, _ in new))
            database.executemany("INSERT INTO chunks VALUES (?, ?)", ((about[0], data) for about, _, data in new))
            upkeep.put_segment(database, first // BLOCK, segment.rows())
        with suppress(sqlite3.OperationalError):  # what was analysed is stored; whoever writes next merges
            upkeep.merge(database, first // BLOCK)
    return len(new)
