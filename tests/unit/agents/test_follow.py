import os
import time
from pathlib import Path

from branchline.agents import follow
from branchline.agents.follow import Follower
from branchline.core.agent import AgentResult, AgentStatus, Progress
from branchline.process.spawn import Exit


class Lines:
    """A reader that keeps the lines, and takes its time over each."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seen: list[bytes] = []
        self._seconds = seconds

    @property
    def progress(self) -> Progress:
        return Progress()

    def line(self, data: bytes) -> None:
        self.seen.append(data)
        until = time.thread_time() + self._seconds
        while self._seconds and time.thread_time() < until:
            pass

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        return AgentResult(status=AgentStatus.OK, message=f"{ended} {stderr!r}")


def test_lines_come_as_they_are_written_and_the_last_without_its_end(tmp_path: Path) -> None:
    reader = Lines()
    follower = Follower(tmp_path / "log", reader)
    assert follower.follow() is False
    with (tmp_path / "log").open("wb", buffering=0) as file:
        for part, seen in ((b"on", []), (b"e\ntwo\n\nth", [b"one", b"two", b""]), (b"ree", [b"one", b"two", b""])):
            file.write(part)
            follower.follow()
            assert reader.seen == seen
    follower.finish()
    assert reader.seen == [b"one", b"two", b"", b"three"]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    for name in ("pipe", "link", "nowhere"):
        reader = Lines()
        Follower(tmp_path / name, reader).finish()
        assert reader.seen == []


def test_a_line_without_end_is_dropped_and_the_next_one_counts(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"first\n" + b"x" * (follow.LONGEST_LINE + follow.CHUNK) + b"\nlast")
    reader = Lines()
    Follower(tmp_path / "log", reader).finish()
    assert reader.seen == [b"first", b"last"]


def test_a_flood_keeps_nobody_waiting_and_its_end_is_read(tmp_path: Path) -> None:
    line = b"y" * (follow.CHUNK - 1) + b"\n"
    (tmp_path / "log").write_bytes(line * 200 + b"half of the verdict's line\nverdict\n")
    reader = Lines(0.05)
    follower = Follower(tmp_path / "log", reader)
    began = time.thread_time()
    assert follower.follow() is True
    assert time.thread_time() - began < 3 * follow.A_LOOK
    follower.finish()
    assert time.thread_time() - began < 2 * follow.AT_LAST
    assert reader.seen[-2:] == [b"half of the verdict's line", b"verdict"]
    assert 16 < len(reader.seen) < 200
    assert {len(seen) for seen in reader.seen[:-2]} == {follow.CHUNK - 1}, "no line is torn where some are skipped"
