"""The ledger on disk: append-only, synced before anything acts on it, refused when it does not verify.

Only a tail without a newline, or one of NUL bytes, is taken for a torn write and cut; every other fault is named with
its offset and left alone.
"""

import contextlib
import errno
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from branchline.core.events import AnyEvent
from branchline.core.ids import ulid
from branchline.core.rules.linear import compiled
from branchline.core.run_state import RunState
from branchline.errors import BranchlineError, InvalidInput, LedgerError
from branchline.ledger.codec import GENESIS, VERSION, BadRecord, Record, decode, encode
from branchline.ledger.paths import RunPaths
from branchline.ledger.upcast import Upcaster

MARK = compiled(r"\d{20} [0-9a-f]{64}\n")


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing wrong with a ledger. `offset` is in bytes from its start, `seq` the record's number."""

    seq: int
    offset: int
    reason: str

    def __str__(self) -> str:
        return f"record {self.seq} at byte {self.offset}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Reading:
    """A ledger as it was read: the records before the first fault, a torn tail's size in bytes, and the mark beside it.

    Of version 1 there are more records than lines: some have the number of the one after them (`ledger.upcast`).
    """

    records: tuple[Record, ...]
    size: int
    torn: int
    fault: Fault | None
    mark: tuple[int, str] | None = None

    @property
    def count(self) -> int:
        """How many lines verify."""
        return _count(self.records)


class Disk:
    """The two files that a ledger has on a disk: its records, and the mark beside them. Raises OSError as the system does."""

    def __init__(self, paths: RunPaths) -> None:
        self._ledger = os.open(paths.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._head = os.open(paths.head, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        folder = os.open(paths.ledger.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # its entries
        finally:
            os.close(folder)

    def append(self, data: bytes) -> int:
        """Write at the end of the ledger; how many bytes were taken."""
        return os.write(self._ledger, data)

    def sync(self) -> None:
        """Make what was appended durable."""
        getattr(os, "fdatasync", os.fsync)(self._ledger)  # macOS has no fdatasync

    def cut(self, size: int) -> None:
        """Cut the ledger to that many bytes, durably."""
        os.ftruncate(self._ledger, size)
        os.fsync(self._ledger)

    def mark(self, line: bytes) -> None:
        """Replace the high-water mark, in place: marks are all of one length. It may be lost, and is never synced."""
        os.pwrite(self._head, line, 0)

    def close(self) -> None:
        """Close the files."""
        os.close(self._ledger)
        os.close(self._head)


class Ledger:
    """The one writer of a run's ledger. Held by whoever holds the lease."""

    def __init__(self, paths: RunPaths, *, epoch: int, clock: Callable[[], int], disk: Disk | None = None) -> None:
        self.paths, self.epoch, self.clock = paths, epoch, clock
        self.seq, self.sha, self.size = 0, GENESIS, 0
        with self._writing():
            self._disk = disk or Disk(paths)

    @classmethod
    def begun(cls, paths: RunPaths, clock: Callable[[], int]) -> Self:
        """A new run's ledger; what a kill left of its record 0 is cut off. Raises InvalidInput if the run is there."""
        left = read(paths) if paths.ledger.exists() else None
        if left is not None and (left.records or left.fault is not None):
            raise InvalidInput(f"run {paths.run_id} exists already", hint=f"branchline resume {paths.run_id}")
        ledger = cls(paths, epoch=1, clock=clock)
        if left is not None:
            ledger.continue_from(left)
        return ledger

    def continue_from(self, reading: Reading) -> None:
        """Go on after the records read; a torn tail is cut off first, and what was read is durable then."""
        self.size = reading.size
        with self._writing():
            self._disk.cut(reading.size)
        if reading.records:
            self.seq, self.sha = reading.count, reading.records[-1].sha

    def append(self, events: Iterable[AnyEvent]) -> list[Record]:
        """Make the events, at least one, durable: one write, one sync.

        Raises LedgerError, with nothing half-written left behind.
        """
        at, seq, sha = self.clock(), self.seq, self.sha
        records, lines = [], []
        for event in events:
            unique = ulid(at, int.from_bytes(os.urandom(10), "big"))
            record = Record(seq=seq, epoch=self.epoch, id=unique, at=at, run_id=self.paths.run_id, event=event)
            line, sha = encode(record, sha)
            lines.append(line)
            records.append(record)
            seq += 1
        self._write(b"".join(lines))
        self.seq, self.sha = seq, sha
        with self._writing():
            # Written after the sync, never before: it may lag behind the ledger, it must not run ahead of it.
            self._disk.mark(b"%020d %s\n" % (seq - 1, sha.encode("ascii")))
        return records

    def _write(self, data: bytes) -> None:
        with self._writing():
            try:
                if self._disk.append(data) != len(data):  # a short write is how a full disk shows itself first
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as the disk would have
                self._disk.sync()
            except OSError:
                with contextlib.suppress(OSError):
                    self._disk.cut(self.size)
                raise
        self.size += len(data)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LedgerError(
                f"cannot write the ledger {self.paths.ledger}: {error.strerror}",
                hint=f"make room, then: branchline resume {self.paths.run_id}",
            ) from error

    def close(self) -> None:
        """Close the files."""
        self._disk.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(paths: RunPaths) -> Reading:
    """Read and verify a run's ledger, its chain and its high-water mark. Raises InvalidInput if there is none."""
    mark = None
    with contextlib.suppress(OSError, ValueError):  # first: whoever writes the ledger meanwhile only moves it further
        number, _, sha = paths.head.read_text("ascii").partition(" ")
        mark = (int(number), sha[:-1]) if MARK.fullmatch(f"{number} {sha}") else None
    try:
        data = paths.ledger.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {paths.ledger}: {error.strerror}", hint="branchline list") from error
    return verified(data, mark, paths.run_id)


def verified(data: bytes, mark: tuple[int, str] | None, run_id: str) -> Reading:
    """What the bytes of a ledger amount to; `mark`: number and hash of a record that it is known to have had."""
    kept = data.rstrip(b"\0")
    kept = kept[: kept.rfind(b"\n") + 1]
    records, fault = _records(kept, run_id)
    if fault is None and mark is not None:
        fault = behind(records, len(kept), *mark)
    return Reading(records=tuple(records), size=len(kept), torn=len(data) - len(kept), fault=fault, mark=mark)


def _records(data: bytes, run_id: str) -> tuple[list[Record], Fault | None]:
    older = Upcaster()
    records = older.records
    offset, prev, epoch, seq = 0, GENESIS, 0, 0
    while (end := data.find(b"\n", offset)) >= 0:
        try:
            record = decode(data[offset:end], seq=seq, prev=prev, offset=offset)
            if record.run_id != run_id:
                return records, Fault(seq, offset, f"it belongs to run {record.run_id}")
            if record.epoch < epoch:
                two = f"its epoch {record.epoch} comes after epoch {epoch}: two processes wrote this ledger"
                return records, Fault(seq, offset, two)
            if record.v < VERSION:
                older.take(record)
            else:
                records.append(record)
        except BadRecord as error:
            return records, Fault(seq, offset, error.message)
        offset, prev, epoch, seq = end + 1, record.sha, record.epoch, seq + 1
    return records, None


def _count(records: Sequence[Record]) -> int:
    return records[-1].seq + 1 if records else 0


def behind(records: Sequence[Record], size: int, seq: int, sha: str) -> Fault | None:
    """The fault of a ledger that does not reach a mark known from elsewhere, or reached it with another record.

    A ledger may be ahead of its mark, never behind it.
    """
    if seq >= _count(records):
        return Fault(_count(records), size, f"it ends here, but record {seq} had been written: its end was cut off")
    marked = records[bisect_left(records, seq, key=lambda record: record.seq)]
    if marked.sha != sha:
        return Fault(seq, marked.offset, "it is not the record that had been written: the ledger was rewritten")
    return None


def require(reading: Reading, paths: RunPaths) -> RunState:
    """The state of a ledger that verifies. Raises LedgerError naming the first bad record."""
    if reading.fault is not None:
        raise LedgerError(
            f"the ledger {paths.ledger} does not verify: {reading.fault}", hint=f"branchline verify {paths.run_id}"
        )
    if not reading.records:
        raise LedgerError(
            f"the ledger {paths.ledger} holds no complete record: the run never began",
            hint="start it again: branchline run",
        )
    state = RunState()
    for record in reading.records:
        try:
            state.apply(record.event)
        except (BranchlineError, KeyError) as error:
            raise LedgerError(f"the ledger {paths.ledger} does not make sense: record {record.seq}: {error}") from error
    return state
