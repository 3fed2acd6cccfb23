import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from branchline.core.events import AnyEvent, GaveUp, IntentReceived, RunResumed
from branchline.core.graph import Task
from branchline.core.run_state import replay
from branchline.errors import InvalidInput, LedgerError
from branchline.ledger.codec import GENESIS, Record, encode
from branchline.ledger.log import Ledger, Reading, behind, read, require
from branchline.ledger.paths import RunPaths
from strategies import started

EVENTS: tuple[AnyEvent, ...] = (
    started(Task(id="t")),
    IntentReceived(kind="retry", by="me", refused="no"),
    RunResumed(by="me"),
)


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    made = RunPaths(tmp_path, "R")
    made.make()
    return made


@pytest.fixture
def written(paths: RunPaths) -> list[bytes]:
    """The lines of a real ledger, each appended by itself."""
    ledger = opened(paths)
    for event in EVENTS:
        ledger.append([event])
    ledger.close()
    return paths.ledger.read_bytes().splitlines(keepends=True)


def opened(paths: RunPaths, epoch: int = 1) -> Ledger:
    return Ledger(paths, epoch=epoch, clock=lambda: 1_764_000_000_000)


def test_a_run_that_is_there_is_not_begun_again(paths: RunPaths) -> None:
    with Ledger.begun(paths, lambda: 1) as ledger:
        ledger.append(EVENTS[:1])
    with pytest.raises(InvalidInput, match="run R exists already") as caught:
        Ledger.begun(paths, lambda: 1)
    assert caught.value.hint == "branchline resume R"
    line = paths.ledger.read_bytes()
    paths.ledger.write_bytes(b"rubbish\n" + line)
    with pytest.raises(InvalidInput, match="run R exists already"):
        Ledger.begun(paths, lambda: 1)


def test_what_a_kill_left_of_record_0_is_cut_off(paths: RunPaths, written: list[bytes]) -> None:
    paths.head.unlink()
    paths.ledger.write_bytes(written[0][:-20])
    with Ledger.begun(paths, lambda: 1) as ledger:
        ledger.append(EVENTS[:1])
    assert events_of(read(paths)) == EVENTS[:1]


def events_of(reading: Reading) -> tuple[AnyEvent, ...]:
    return tuple(record.event for record in reading.records)


def fault_of(paths: RunPaths, data: bytes, *, head: bool = False) -> tuple[int, int, str]:
    """Where and why a ledger of these bytes is refused."""
    if not head:
        paths.head.unlink(missing_ok=True)
    paths.ledger.write_bytes(data)
    reading = read(paths)
    assert reading.fault is not None
    with pytest.raises(LedgerError, match=f"does not verify: record {reading.fault.seq} at byte") as caught:
        require(reading, paths)
    assert caught.value.hint == "branchline verify R"
    return reading.fault.seq, reading.fault.offset, reading.fault.reason


def chained(*changes: dict[str, Any]) -> list[bytes]:
    """The lines of a ledger that was made well, apart from the changes to its records."""
    lines, prev = list[bytes](), GENESIS
    for seq, (event, change) in enumerate(zip(EVENTS, changes, strict=True)):
        fields = {"seq": seq, "epoch": 1, "id": f"I{seq}", "at": 0, "run_id": "R", **change}
        line, prev = encode(Record(event=event, **fields), prev)
        lines.append(line)
    return lines


def test_what_is_appended_is_read(paths: RunPaths) -> None:
    ledger = opened(paths)
    records = ledger.append(EVENTS[:2])
    records += ledger.append(EVENTS[2:])
    ledger.close()
    reading = read(paths)
    assert reading.fault is None
    assert [(r.seq, r.id, r.event, r.run_id, r.epoch) for r in reading.records] == [
        (r.seq, r.id, r.event, r.run_id, r.epoch) for r in records
    ]
    assert (reading.size, reading.torn) == (paths.ledger.stat().st_size, 0)
    assert require(reading, paths) == replay(EVENTS)
    assert ledger.size == reading.size
    assert [r.offset for r in reading.records] == [0, *offsets(paths.ledger.read_bytes().splitlines(keepends=True))[1:]]


def offsets(lines: list[bytes]) -> list[int]:
    return [sum(map(len, lines[:number])) for number in range(len(lines))]


def test_a_later_coordinator_goes_on_in_the_same_chain(paths: RunPaths, written: list[bytes]) -> None:
    ledger = opened(paths, epoch=2)
    ledger.continue_from(read(paths))
    (record,) = ledger.append([RunResumed(by="second")])
    ledger.close()
    assert (record.seq, record.epoch) == (3, 2)
    assert events_of(read(paths)) == (*EVENTS, RunResumed(by="second"))
    assert paths.ledger.read_bytes().startswith(b"".join(written))


def test_a_ledger_that_is_not_there(paths: RunPaths) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*run\.jsonl: No such file") as caught:
        read(paths)
    assert caught.value.hint == "branchline list"


def test_a_ledger_without_a_record_never_began(paths: RunPaths) -> None:
    paths.ledger.write_bytes(b'{"half":')
    with pytest.raises(LedgerError, match="holds no complete record"):
        require(read(paths), paths)


def test_a_tail_torn_at_any_byte_is_cut_and_the_rest_kept(paths: RunPaths, written: list[bytes]) -> None:
    data = b"".join(written)
    ends = [end for end in (*offsets(written), len(data)) if end]
    paths.head.unlink()
    for cut in range(len(data) + 1):
        paths.ledger.write_bytes(data[:cut])
        reading = read(paths)
        whole = sum(end <= cut for end in ends)
        assert reading.fault is None
        assert events_of(reading) == EVENTS[:whole]
        assert reading.size == (ends[whole - 1] if whole else 0)
        assert reading.torn == cut - reading.size
        if whole:
            assert require(reading, paths) == replay(EVENTS[:whole])


def test_a_cut_below_the_high_water_mark_is_noticed(paths: RunPaths, written: list[bytes]) -> None:
    data = b"".join(written)
    for cut in range(len(data)):
        paths.ledger.write_bytes(data[:cut])
        fault = read(paths).fault
        assert fault is not None
        whole = sum(end <= cut for end in offsets(written)[1:])
        assert (fault.seq, fault.offset) == (whole, offsets(written)[whole])
        assert "record 2 had been written: its end was cut off" in fault.reason


def test_a_first_record_that_was_torn_is_written_anew(paths: RunPaths) -> None:
    paths.ledger.write_bytes(b'{"half":')
    ledger = opened(paths)
    ledger.continue_from(read(paths))
    ledger.append(EVENTS)
    ledger.close()
    assert events_of(read(paths)) == EVENTS


@pytest.mark.parametrize("tail", [b'{"attempt":1,"con', b"\0\0\0\0", b'{"a\0\0', b""])
def test_work_goes_on_after_a_torn_tail(paths: RunPaths, written: list[bytes], tail: bytes) -> None:
    with paths.ledger.open("ab") as file:
        file.write(tail)
    reading = read(paths)
    assert reading.fault is None
    assert reading.torn == len(tail)
    ledger = opened(paths, epoch=2)
    ledger.continue_from(reading)
    ledger.append([RunResumed(by="me")])
    ledger.close()
    assert read(paths).fault is None
    assert len(read(paths).records) == len(written) + 1


def test_every_flipped_bit_is_noticed(paths: RunPaths, written: list[bytes]) -> None:
    data = b"".join(written)
    paths.head.unlink()
    with paths.ledger.open("r+b", buffering=0) as file:
        for place, byte in enumerate(data[:-1]):
            seq = sum(start <= place for start in offsets(written)) - 1
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                fault = read(paths).fault
                assert fault is not None, (place, bit)
                assert (fault.seq, fault.offset) == (seq, offsets(written)[seq])
            os.pwrite(file.fileno(), bytes([byte]), place)


@pytest.mark.parametrize("bit", range(8))
def test_without_its_newline_the_last_record_is_torn(paths: RunPaths, written: list[bytes], bit: int) -> None:
    data = b"".join(written)[:-1] + bytes([10 ^ 1 << bit])
    assert fault_of(paths, data, head=True)[0] == 2
    paths.head.unlink()
    reading = read(paths)
    assert reading.fault is None
    assert len(reading.records) == 2


def test_moved_lost_and_repeated_lines_are_named(paths: RunPaths, written: list[bytes]) -> None:
    one, two, three = written
    middle = len(one)
    swapped = fault_of(paths, one + three + two)
    assert swapped[:2] == (1, middle)
    assert swapped[2].startswith("it is record 2 where record 1 should stand")
    assert fault_of(paths, one + three)[:2] == (1, middle)
    assert fault_of(paths, two + three)[:2] == (0, 0)
    repeated = fault_of(paths, one + two + two + three)
    assert repeated[:2] == (2, middle + len(two))
    assert repeated[2].startswith("it is record 1 where record 2 should stand")
    assert fault_of(paths, one + b"\n" + two + three)[:2] == (1, middle)
    assert fault_of(paths, one + b"\0\0" + two + three)[:2] == (1, middle)


def test_a_record_of_another_chain_is_named(paths: RunPaths, written: list[bytes]) -> None:
    other = chained({}, {}, {})
    seq, offset, reason = fault_of(paths, written[0] + other[1])
    assert (seq, offset) == (1, len(written[0]))
    assert reason == "it does not follow from the record before it"


def test_a_record_of_another_run_is_named(paths: RunPaths) -> None:
    lines = chained({}, {"run_id": "S"}, {})
    assert fault_of(paths, b"".join(lines)) == (1, len(lines[0]), "it belongs to run S")


def test_an_epoch_that_goes_back_is_named(paths: RunPaths) -> None:
    lines = chained({}, {"epoch": 3}, {"epoch": 2})
    seq, offset, reason = fault_of(paths, b"".join(lines))
    assert (seq, offset) == (2, len(lines[0] + lines[1]))
    assert reason == "its epoch 2 comes after epoch 3: two processes wrote this ledger"


def test_a_ledger_rewritten_as_a_whole_is_noticed_by_its_high_water_mark(paths: RunPaths, written: list[bytes]) -> None:
    lines = chained({}, {}, {})
    seq, offset, reason = fault_of(paths, b"".join(lines), head=True)
    assert (seq, offset) == (2, len(lines[0] + lines[1]))
    assert reason == "it is not the record that had been written: the ledger was rewritten"
    assert len(written) == len(lines)


@pytest.mark.parametrize("mark", [b"", b"\0" * 86, b"nonsense", b"\xff"])
def test_an_unreadable_high_water_mark_marks_nothing(paths: RunPaths, written: list[bytes], mark: bytes) -> None:
    paths.head.write_bytes(mark)
    assert len(read(paths).records) == len(written)
    assert read(paths).fault is None


def test_a_mark_from_elsewhere(paths: RunPaths, written: list[bytes]) -> None:
    reading = read(paths)
    last = reading.records[-1]
    assert behind(reading.records, reading.size, last.seq, last.sha) is None
    assert behind(reading.records, reading.size, 0, reading.records[0].sha) is None
    cut = behind(reading.records, reading.size, len(written), last.sha)
    assert cut is not None
    assert (cut.seq, cut.offset) == (3, reading.size)


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (GaveUp(task_id="ghost", reason=""), "does not make sense: record 1: 'ghost'"),
        (started(Task(id="a", dependencies=("a",))), "does not make sense: record 1: the dependencies form a cycle"),
    ],
)
def test_records_that_verify_may_still_make_no_sense(paths: RunPaths, second: AnyEvent, reason: str) -> None:
    ledger = opened(paths)
    ledger.append([EVENTS[0], second])
    ledger.close()
    with pytest.raises(LedgerError, match=reason):
        require(read(paths), paths)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond this size: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_short_write_is_rolled_back_and_said(paths: RunPaths, room: int) -> None:
    ledger = opened(paths)
    ledger.append(EVENTS)
    before = paths.ledger.read_bytes(), paths.head.read_bytes()
    with file_size_limit(len(before[0]) + room), pytest.raises(LedgerError, match="cannot write the ledger") as caught:
        ledger.append([RunResumed(by="x" * 200)])
    assert caught.value.hint == "make room, then: branchline resume R"
    assert (paths.ledger.read_bytes(), paths.head.read_bytes()) == before
    ledger.append([RunResumed(by="later")])
    ledger.close()
    assert events_of(read(paths)) == (*EVENTS, RunResumed(by="later"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_said(paths: RunPaths) -> None:
    paths.ledger.symlink_to("/dev/full")
    ledger = opened(paths)
    with pytest.raises(LedgerError, match="No space left on device"):
        ledger.append(EVENTS)
    ledger.close()
    assert paths.head.read_bytes() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_mark_that_cannot_be_written_stops_the_run_with_its_record_kept(paths: RunPaths) -> None:
    paths.head.symlink_to("/dev/full")
    ledger = opened(paths)
    with pytest.raises(LedgerError, match=r"cannot write the ledger .*: No space left on device") as caught:
        ledger.append(EVENTS)
    ledger.close()
    assert caught.value.hint == "make room, then: branchline resume R"
    paths.head.unlink()
    assert events_of(read(paths)) == EVENTS


def test_a_ledger_that_cannot_be_opened_is_said(paths: RunPaths) -> None:
    paths.ledger.mkdir()
    with pytest.raises(LedgerError, match=r"cannot write the ledger .*: Is a directory"):
        opened(paths)
