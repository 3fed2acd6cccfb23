import os
from pathlib import Path

import pytest

from branchline.gates.output import printed, shown


def test_tail_is_valid_text_of_at_most_so_many_characters(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes("é".encode() * 100 + b"\x1b[31mred\x1b[0m\r\n\xff")
    assert printed(log, 6) == "\u00e9red\n\ufffd"
    assert len(printed(log, 9999)) == 105


def test_tail_of_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    assert [printed(tmp_path / name, 9) for name in ("link", "pipe", ".", "ghost")] == [""] * 4


@pytest.mark.parametrize(
    ("path", "text"), [("a b/é.py", "a b/é.py"), ("a\nb", "a\\nb"), ("caf\udce9", "caf\\xe9"), ("\u202ea", "\\u202ea")]
)
def test_shown(path: str, text: str) -> None:
    assert shown(path) == text
