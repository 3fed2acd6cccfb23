import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from branchline.agents.supervise import A_LOOK, A_MOMENT, AT_LAST, CHUNK, LONGEST_LINE, Follower
from branchline.core.model.agent import AgentResult, AgentStatus, Progress
from branchline.process.spawn import Exit
from recordings import lines


class Seen:
    """A reader that remembers its lines; each is `seconds` of work."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.lines: list[bytes] = []
        self._seconds = seconds

    @property
    def progress(self) -> Progress:
        return Progress()

    def line(self, data: bytes) -> None:
        self.lines.append(data)
        until = time.thread_time() + self._seconds
        while self._seconds and time.thread_time() < until:
            pass

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:  # noqa: ARG002 - the protocol's signature
        return AgentResult(status=AgentStatus.OK)


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    return tmp_path / "stdout.log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_come_as_the_file_grows(stream: Path) -> None:
    seen = Seen()
    follower = Follower(stream, seen)
    assert not follower.follow()
    append(stream, b"one\ntw")
    assert follower.follow()
    assert seen.lines == [b"one"]
    assert not follower.follow()
    append(stream, b"o\n\n\xff")
    follower.follow()
    assert seen.lines == [b"one", b"two", b""]
    follower.finish()
    assert seen.lines == [b"one", b"two", b"", b"\xff"]


def test_an_empty_stream_has_no_lines(stream: Path) -> None:
    seen = Seen()
    stream.touch()
    Follower(stream, seen).finish()
    assert seen.lines == []


def test_a_last_newline_ends_the_last_line(stream: Path) -> None:
    seen = Seen()
    append(stream, b"one\n")
    Follower(stream, seen).finish()
    assert seen.lines == [b"one"]


@given(pieces=st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"x", b"\n"))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_however_it_comes_the_lines_are_the_same(pieces: list[bytes], stream: Path) -> None:
    seen = Seen()
    stream.unlink(missing_ok=True)
    follower = Follower(stream, seen)
    for piece in pieces:
        append(stream, piece)
        follower.follow()
    follower.finish()
    assert seen.lines == list(lines(b"".join(pieces)))


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_not(stream: Path) -> None:
    seen = Seen()
    with stream.open("wb") as file:
        file.write(b"first\n")
        file.truncate(LONGEST_LINE * 4)
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    follower = Follower(stream, seen)
    tracemalloc.start()
    follower.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.lines == [b"first", b"last"]
    assert peak < 2 * LONGEST_LINE


def test_a_line_that_is_too_long_and_has_no_end_is_dropped(stream: Path) -> None:
    seen = Seen()
    stream.touch()
    os.truncate(stream, LONGEST_LINE * 2)
    Follower(stream, seen).finish()
    assert seen.lines == []


def test_one_look_is_bounded_and_finish_reads_the_rest(stream: Path) -> None:
    seen = Seen()
    line = b"x" * 1023 + b"\n"
    stream.write_bytes(line * (2 * A_LOOK // len(line)))
    follower = Follower(stream, seen)
    follower.follow()
    assert len(seen.lines) == A_LOOK // len(line)
    follower.follow(most=1)
    assert len(seen.lines) < 1.1 * A_LOOK // len(line)
    follower.finish()
    assert len(seen.lines) == 2 * A_LOOK // len(line)


def test_a_flood_keeps_nobody_waiting_and_its_end_is_read(stream: Path) -> None:
    line = b"y" * (CHUNK - 1) + b"\n"
    stream.write_bytes(line * 200 + b"the line before\nverdict\n")
    seen = Seen(0.05)
    follower = Follower(stream, seen)
    began = time.thread_time()
    follower.follow()
    assert time.thread_time() - began < 2 * A_MOMENT
    follower.finish()
    assert time.thread_time() - began < 2 * AT_LAST
    assert seen.lines[-2:] == [b"the line before", b"verdict"]
    assert len(seen.lines) < 200
    assert {len(one) for one in seen.lines[:-2]} == {CHUNK - 1}, "no line is torn where some are skipped"


def test_what_is_no_regular_file_is_never_read(tmp_path: Path, stream: Path) -> None:
    seen = Seen()
    (tmp_path / "other").write_bytes(b"secret\n")
    stream.symlink_to("other")
    Follower(stream, seen).finish()
    stream.unlink()
    os.mkfifo(stream)
    Follower(stream, seen).finish()
    assert seen.lines == []


def test_nothing_stays_open(stream: Path) -> None:
    stream.write_bytes(b"one\n")
    before = len(os.listdir("/dev/fd"))
    for _ in range(10):
        follower = Follower(stream, Seen())
        follower.follow()
        follower.finish()
    assert len(os.listdir("/dev/fd")) == before
