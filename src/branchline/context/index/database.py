"""The file that the index is kept in: where it is, how it is opened, and what happens when it cannot be used."""

import fcntl
import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from branchline.git.repo import Repo

FORMAT = 7
"""Of the tables, and of the terms in them (`words.terms_of`); raised when either changes."""
BUSY_SECONDS = 10.0
_TURN_SECONDS = 60.0
_OLD_SECONDS = 14 * 86_400.0  # an index of another version that nobody wrote to for so long is removed
_DAMAGE = (
    *("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT"),
    *("SQLITE_IOERR_SHORT_READ", "SQLITE_ERROR"),  # a file cut off; a table that is missing
)
_TABLES = """BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS blob (id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, terms INTEGER NOT NULL,
    is_text INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS analysis (blob INTEGER PRIMARY KEY, outline BLOB NOT NULL, chunks BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS segment (id INTEGER PRIMARY KEY, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS posting (segment INTEGER NOT NULL, term BLOB NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (segment, term)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 1), next_blob INTEGER NOT NULL,
    emptied INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (1, 1, 0);
COMMIT;
"""


class Damaged(sqlite3.DatabaseError):
    """What was read cannot have been written by us."""


def default_folder(root: Path, repo: Repo | None) -> Path:
    """Where the index of a folder is kept: in the git directory that all work trees share, else in the user's cache."""
    if repo is not None:
        shared = repo.common_dir / "branchline"
        if os.access(shared if shared.exists() else repo.common_dir, os.W_OK):
            return shared
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    name = hashlib.sha256(os.fsencode(repo.common_dir if repo is not None else root.resolve())).hexdigest()
    return Path(cache, "branchline", "context", name[:32])


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the index, and make it if there is none; None: in memory. Raises sqlite3.Error, OSError."""
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # it tells of the files' content
    database = sqlite3.connect(
        path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )  # one thread at a time uses it, but any can close it
    try:
        if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'counter'").fetchone():
            with turn(path):
                database.execute("PRAGMA journal_mode=WAL")
                database.executescript(_TABLES)
            if path is not None:
                for other in path.parent.glob("context-*"):
                    with suppress(OSError):
                        if not other.name.startswith(path.stem) and other.stat().st_mtime < time.time() - _OLD_SECONDS:
                            other.unlink()
        database.execute("PRAGMA synchronous=NORMAL")
    except BaseException:
        database.close()
        raise
    return database


def discard(path: Path, inode: int) -> None:
    """Remove a damaged index, unless another process has put a new one (of another inode) in its place."""
    with turn(path), suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            for end in ("-wal", "-shm", ""):
                path.with_name(path.name + end).unlink(missing_ok=True)


@contextmanager
def turn(path: Path | None) -> Iterator[None]:
    """Hold the right to write, so that two processes do not do the same work; a slow one is waited for a minute.

    Nothing depends on it but time: the database has its own locks.
    """
    try:
        file = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644) if path else -1
    except OSError:
        file = -1
    try:
        give_up = time.monotonic() + _TURN_SECONDS
        while file >= 0 and time.monotonic() < give_up:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.02)
        yield
    finally:
        if file >= 0:
            os.close(file)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all of it or nothing. Raises sqlite3.OperationalError if others write for too long."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # a full disk has rolled it back already
            database.execute("ROLLBACK")
        raise


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the index itself is at fault and a new one will do, not the disk, its rights or who else writes."""
    return str(getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")).startswith(_DAMAGE)


def sealed(data: bytes, key: bytes = b"") -> bytes:
    """Bytes to be stored, with a checksum of them and their key: SQLite has none, and returns what a bad page holds."""
    return crc32(data, crc32(key)).to_bytes(4, "little") + data


def unsealed(data: object, key: bytes = b"") -> bytes:
    """What was sealed. Raises Damaged."""
    if not isinstance(data, bytes) or crc32(data[4:], crc32(key)).to_bytes(4, "little") != data[:4]:
        raise Damaged("a value is not what was stored")
    return data[4:]
