import os
from pathlib import Path

from branchline.process.output import last_line, readable, tail


def test_tail_of_a_file_and_of_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"0123456789")
    assert tail(log, 3) == b"789"
    assert tail(log, 99) == b"0123456789"
    assert tail(tmp_path / "ghost", 3) == b""


def test_tail_does_not_follow_or_block(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    assert [tail(tmp_path / name, 9) for name in ("link", "pipe", ".")] == [b"", b"", b""]


def test_readable_is_valid_text_without_control_sequences() -> None:
    assert readable(b"a\x1b[1;31mred\x1b[0m\x1b]0;title\x07\r\n\tb\xff\x00\x9b") == "ared\n\tb\ufffd\ufffd"
    assert readable("\u202eabc\u2066".encode()) == "abc"


def test_last_line() -> None:
    assert last_line(b"one\n two \n\n \n") == "two"
    assert last_line(b"\n") == ""
