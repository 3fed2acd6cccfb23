"""Text that a person hands over in a file or on stdin."""

import sys
from pathlib import Path

from branchline.errors import InvalidInput

LONGEST = 4_000_000  # bytes
STDIN = "-"


def given_text(file: Path | None, *, option: str) -> str:
    """The text of a file, or of stdin for `-` and None; `option` names the file. Raises InvalidInput."""
    if file is None or str(file) == STDIN:
        return _decoded(sys.stdin.buffer.read(LONGEST + 1), "stdin")
    try:
        with file.open("rb") as stream:
            return _decoded(stream.read(LONGEST + 1), str(file))
    except OSError as error:
        raise InvalidInput(f"{file} cannot be read: {error.strerror}", hint=f"{option} FILE") from error


def _decoded(data: bytes, where: str) -> str:
    if len(data) > LONGEST:
        raise InvalidInput(f"{where} is larger than {LONGEST:,} bytes", hint="say it in fewer words")
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise InvalidInput(
            f"{where} is not text: there is a NUL byte in line {line}", hint="give it a file of UTF-8 text"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"{where} is not UTF-8 text at line {line}", hint="iconv -t UTF-8 FILE > NEW") from error
