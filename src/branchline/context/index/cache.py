"""The index: the analyses of blobs by their content, and which blobs hold a term. Shared by all trees of a repository.

A blob is known by its git id and the last name of its path: an analysis may depend on nothing else. Only blobs that are
not in the index are analysed, and only what a query asks for is read. It is a cache: whatever happens to its file, it
is made again or does without one; `warnings` says so.
"""

import hashlib
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

from branchline.context.index import blobs, upkeep, writing
from branchline.context.index.database import FORMAT, connect, discard, is_damage, transaction
from branchline.context.index.postings import sealed, unsealed
from branchline.context.index.scan import Tree
from branchline.context.index.writing import Analyse

Progress = Callable[[int, int], None]
MOST_BYTES = 1 << 30
"""What the file may hold before blobs that nobody used for long are dropped."""
_KEPT_BYTES = 64 << 20  # of all values that are kept by key
_KEPT_TREES = 32
_T = TypeVar("_T")


class Index:
    """The index in one folder. For one thread; any number of processes may use the folder at once.

    `generation` grows when the index had to be made again: what was known of its blobs is void.
    """

    def __init__(self, path: Path | None) -> None:
        """Use `open`."""
        self.warnings: list[str] = []
        self.generation = 0
        self._path = path
        self._inode = 0
        self._rebuilt = False
        self._analyse: Analyse | None = None
        self._added: set[tuple[int, str]] = set()
        self.database = sqlite3.connect(":memory:")
        try:
            self._connect()
        except (sqlite3.DatabaseError, OSError) as error:
            self.replace(error)

    @classmethod
    def open(cls, folder: Path | None, *, version: str = "") -> "Index":
        """Open the index of a folder, or make it; None: in memory. `version`: of what analyses (ANALYSIS_VERSION).

        A damaged file is replaced. Where no file can be written the index is in memory, with a warning.
        """
        name = hashlib.sha256(f"{FORMAT} {version}".encode()).hexdigest()[:12]
        return cls(folder / f"context-{name}.sqlite" if folder is not None else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self.database.close()

    def add(self, tree: Tree, analyse: Analyse, on_progress: Progress | None = None) -> int:
        """Analyse the blobs of a tree that are not in the index, and return how many.

        `analyse` gets the bytes of a blob and the last name of its path. `on_progress`: blobs done, of how many.
        """
        self._analyse = analyse
        added = self._surely(lambda: self._add(tree, analyse, on_progress))
        if added:
            self.prune(MOST_BYTES, tree)
        return added

    def members(self, tree: Tree) -> blobs.Members:
        """Which blobs the files of a tree are; analysed again first, if the index was made again since."""
        return self._surely(lambda: self._members_again(tree))

    def prune(self, most_bytes: int, keep: Tree) -> int:
        """Drop the blobs that were not used for the longest until at most so many bytes are filled; how many.

        Those of the tree `keep` stay, whatever they take. Nothing is dropped while others write.
        """
        kept = set(self.members(keep).blobs)
        with suppress(sqlite3.OperationalError):
            return upkeep.prune(self.database, most_bytes, kept)
        return 0

    def get(self, key: str) -> bytes | None:
        """A value that was put, or None: it may have been forgotten."""
        with suppress(sqlite3.DatabaseError):
            row = self.database.execute("SELECT value, used FROM kept WHERE key = ?", (key,)).fetchone()
            if row and row[1] < _today():
                self.database.execute("UPDATE kept SET used = ? WHERE key = ?", (_today(), key))
            return unsealed(row[0]) if row else None
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keep a small value. When there are too many, those that were not used for the longest are forgotten."""
        with suppress(sqlite3.DatabaseError), transaction(self.database):
            self.database.execute("REPLACE INTO kept VALUES (?, ?, ?)", (key, _today(), sealed(value)))
            room = _KEPT_BYTES
            for row, size in self.database.execute(
                "SELECT rowid, length(value) FROM kept ORDER BY used DESC, rowid DESC"
            ).fetchall():
                room -= size
                if room < 0:
                    self.database.execute("DELETE FROM kept WHERE rowid = ?", (row,))

    def replace(self, error: Exception) -> None:
        """Go on with a new index: in place of a damaged file; in memory, if no file will do.

        Raises the error if it is in memory already.
        """
        if isinstance(error, sqlite3.ProgrammingError) or self._path is None:
            raise error
        self.generation += 1
        self.database.close()
        if isinstance(error, sqlite3.DatabaseError) and is_damage(error) and not self._rebuilt:
            self._rebuilt = True
            with suppress(sqlite3.DatabaseError, OSError):
                discard(self._path, self._inode)
                self._connect()
                return
        self.warnings.append(f"the index {self._path} cannot be used ({error}): it is made anew, in memory")
        self._path = None
        self._connect()

    def _connect(self) -> None:
        with suppress(FileNotFoundError):
            self._inode = self._path.stat().st_ino if self._path is not None else 0
        self.database.close()
        self.database = connect(self._path)
        self._inode = self._path.stat().st_ino if self._path is not None else 0

    def _surely(self, work: Callable[[], _T]) -> _T:
        """Do the work; if the index turns out to be unusable, again on a new one."""
        while True:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                self.replace(error)

    def _members_again(self, tree: Tree) -> blobs.Members:
        if self._analyse is not None and (self.generation, tree.fingerprint) not in self._added:
            self._add(tree, self._analyse, None)
        return self._stored(tree) or self._looked_up(tree)

    def _add(self, tree: Tree, analyse: Analyse, on_progress: Progress | None) -> int:
        stored = self._stored(tree)
        members = stored or self._looked_up(tree)
        missing = {blobs.key_of(file): file for file, blob in zip(tree.files, members.blobs, strict=True) if not blob}
        done = added = 0
        for batch in writing.batches(tree, missing):
            added += writing.write(self.database, self._path, batch, analyse, _today())
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(missing))
        if done:
            members = self._looked_up(tree)
        if done or stored is None:
            self._store(tree, members)
        self._added.add((self.generation, tree.fingerprint))
        return added

    def _looked_up(self, tree: Tree) -> blobs.Members:
        keys = [blobs.key_of(file) for file in tree.files]
        rows = blobs.rows_of(self.database, keys)
        return blobs.Members.of([rows.get(key, (0, 0, 0)) for key in keys])

    def _stored(self, tree: Tree) -> blobs.Members | None:
        asked = "SELECT data, used FROM tree WHERE fingerprint = ?"
        row = self.database.execute(asked, (tree.fingerprint,)).fetchone()
        if row is None:
            return None
        members = blobs.Members.unpack(row[0], len(tree.files))
        if row[1] < _today():
            self._store(tree, members)
        return members

    def _store(self, tree: Tree, members: blobs.Members) -> None:
        """Keep which blobs a tree has, and that they were used today."""
        today = _today()
        with suppress(sqlite3.OperationalError), transaction(self.database):
            self.database.execute("REPLACE INTO tree VALUES (?, ?, ?)", (tree.fingerprint, today, members.pack()))
            newest = "SELECT fingerprint FROM tree ORDER BY used DESC, rowid DESC LIMIT ?"
            self.database.execute(f"DELETE FROM tree WHERE fingerprint NOT IN ({newest})", (_KEPT_TREES,))  # noqa: S608
            stale = {row[0] for row in self.database.execute("SELECT id FROM blob WHERE used < ?", (today,))}
            again = stale.intersection(members.blobs)
            self.database.executemany("UPDATE blob SET used = ? WHERE id = ?", ((today, blob) for blob in again))


def _today() -> int:
    return int(time.time() // 86_400)
