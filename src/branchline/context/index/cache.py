"""The index: the analyses of blobs by their content, and which blobs hold a term. Shared by all trees of a repository.

A blob is known by its git id and the last name of its path: an analysis may depend on nothing else. Only blobs that are
not in the index are analysed, and only what a query asks for is read. It is a cache: a file that is damaged is made
again, and where none can be used the index is in memory; `warnings` says so.
"""

import hashlib
import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from branchline.context.code.analysis import Analysis, pieces_of
from branchline.context.index.database import FORMAT, connect, discard, is_damage, sealed, transaction, turn, unsealed
from branchline.context.index.postings import Segment, chunked, merge, put_segment
from branchline.context.index.scan import File, Tree, grouped

Progress = Callable[[int, int], None]
Analyse = Callable[[bytes, str], Analysis]
"""From the bytes of a blob and the last name of its path to its analysis."""
_BATCH_BYTES = 16 << 20
_encode = msgspec.msgpack.Encoder().encode
MOST_BYTES = 1 << 30
"""What the file may hold before it is emptied, unless most of it is of the tree in use."""
_KEPT_BYTES = 64 << 20  # of all values that are kept by key


class Emptied(sqlite3.OperationalError):
    """Another process has emptied the index: the numbers of its blobs mean nothing any more."""


class Members(NamedTuple):
    """The blobs of a tree's files, in the files' order.

    `blobs`: their numbers, 0 for one that is not in the index; `terms`: how many each has; `texts`: 1 if it is text.
    """

    blobs: "array[int]"
    terms: "array[int]"
    texts: "array[int]"


class Index:
    """The index in one folder. For one thread; any number of processes may use the folder at once.

    Any method may raise sqlite3.DatabaseError: call `replace` with it, and ask again from `add` on.
    """

    def __init__(self, folder: Path | None, *, version: str = "") -> None:
        """Open the index of a folder, or make it; None: in memory. `version`: of what analyses (ANALYSIS_VERSION).

        A damaged file is replaced. Where no file can be written the index is in memory, with a warning.
        """
        self.warnings: list[str] = []
        name = hashlib.sha256(f"{FORMAT} {version}".encode()).hexdigest()[:12]
        self._path = folder / f"context-{name}.sqlite" if folder is not None else None
        self._inode = 0
        self._replaced = False
        self._emptied = 0
        self.database = sqlite3.connect(":memory:")
        try:
            self._connect()
        except (sqlite3.DatabaseError, OSError) as error:
            self.replace(error)

    def close(self) -> None:
        """Give the file back."""
        self.database.close()

    def add(self, tree: Tree, analyse: Analyse, on_progress: Progress | None = None) -> int:
        """Analyse the blobs of a tree that are not in the index, and return how many.

        `on_progress`: blobs done, of how many.
        """
        self.bound(MOST_BYTES, tree)
        self._emptied = self._how_often_emptied()
        known = self.members(tree)
        missing = {file.key: file for file, blob in zip(tree.files, known.blobs, strict=True) if not blob}
        done = added = 0
        for batch in batches(tree, missing.values()):
            added += write(self.database, self._path, batch, analyse)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(missing))
        if done:
            self._look_up(tree)
        return added

    def members(self, tree: Tree) -> Members:
        """Which blobs the files of a tree are."""
        packed = array("I", self.get(f"members/{self._how_often_emptied()}/{tree.fingerprint}") or b"")
        count = len(tree.files)
        if not packed:
            return self._look_up(tree)
        return Members(packed[:count], packed[count : 2 * count], packed[2 * count :])

    def confirm(self) -> None:
        """Raise Emptied if the answers since `add` may be wrong because another process has emptied the index."""
        if self._how_often_emptied() != self._emptied:
            raise Emptied("another process has emptied the index")

    def bound(self, most_bytes: int, tree: Tree) -> None:
        """Empty the index if it fills more than `most_bytes`, and at least half of it is not of this tree."""
        pages, size = (self.database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * size > most_bytes:
            blobs = self.database.execute("SELECT count(*) FROM blob").fetchone()[0]
            if blobs > 2 * len(tree.files):
                with suppress(sqlite3.OperationalError), transaction(self.database):
                    self.database.execute("UPDATE counter SET emptied = emptied + 1")
                    for table in ("blob", "analysis", "segment", "posting", "kept"):
                        self.database.execute(f"DELETE FROM {table}")  # noqa: S608 - constants
                with suppress(sqlite3.OperationalError):
                    self.database.execute("VACUUM")
                    self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def get(self, key: str) -> bytes | None:
        """A value that was put, or None: it may have been forgotten."""
        with suppress(sqlite3.DatabaseError):
            row = self.database.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
            return unsealed(row[0], key.encode()) if row else None
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a small value. When there are too many, those that were put first are forgotten."""
        with suppress(sqlite3.DatabaseError), transaction(self.database):
            self.database.execute("REPLACE INTO kept VALUES (?, ?)", (key, sealed(value, key.encode())))
            room = _KEPT_BYTES
            sizes = "SELECT rowid, length(value) FROM kept ORDER BY rowid DESC"
            for row, size in self.database.execute(sizes).fetchall():
                room -= size
                if room < 0:
                    self.database.execute("DELETE FROM kept WHERE rowid = ?", (row,))

    def replace(self, error: Exception) -> None:
        """Go on with a new index: in place of a damaged file; in memory, if no file will do.

        Raises the error if it is in memory already.
        """
        if isinstance(error, Emptied):
            return
        if isinstance(error, sqlite3.ProgrammingError) or self._path is None:
            raise error
        self.database.close()
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error) and not self._replaced:
            self._replaced = True
            with suppress(sqlite3.DatabaseError, OSError):
                discard(self._path, self._inode)
                self._connect()
                return
        self.warnings.append(f"the index {self._path} cannot be used ({error}): it is made in memory instead")
        self._path = None
        self._connect()

    def _connect(self) -> None:
        with suppress(FileNotFoundError):
            self._inode = self._path.stat().st_ino if self._path is not None else 0
        self.database.close()
        self.database = connect(self._path)
        self._inode = self._path.stat().st_ino if self._path is not None else 0

    def _look_up(self, tree: Tree) -> Members:
        """Ask for the blob of each file, and keep the answer."""
        key = f"members/{self._how_often_emptied()}/{tree.fingerprint}"
        keys = [file.key for file in tree.files]
        rows = rows_of(self.database, keys)
        columns = zip(*(rows.get(one, (0, 0, 0)) for one in keys), strict=True) if keys else ((), (), ())
        members = Members(*(array("I", column) for column in columns))
        self.put(key, b"".join(column.tobytes() for column in members))
        return members

    def _how_often_emptied(self) -> int:
        return int(self.database.execute("SELECT emptied FROM counter").fetchone()[0])


def batches(tree: Tree, missing: Iterable[File]) -> Iterator[dict[File, bytes]]:
    """Read some files of a tree, a bounded number at a time; what cannot be read is left out."""
    found = ((file, data) for file, data in tree.read(missing) if data is not None)
    return map(dict, grouped(found, lambda pair: len(pair[1]), _BATCH_BYTES))


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
            pieces = pieces_of(analysis.chunks, segment.terms)
            rows.append((blob, file.key, segment.add(blob, analysis, pieces[1]), analysis.flag != "binary"))
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
