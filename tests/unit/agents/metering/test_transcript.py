import json
import os
from pathlib import Path

import pytest

from branchline.agents.metering.transcript import Exchange, Transcript
from branchline.errors import BranchlineError


def test_a_line_an_exchange_and_an_earlier_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    os.mkfifo(path)  # opening it would block for ever
    transcript = Transcript(path)
    transcript.write(Exchange(at_ms=1, method="POST", path="/a\nb", status=200))
    transcript.write(Exchange(at_ms=2, method="GET", path="/b"))
    transcript.close()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [(line["path"], line["status"], line["cost_usd"]) for line in lines] == [
        ("/a\nb", 200, None),
        ("/b", 0, None),
    ]


def test_a_full_disk_is_no_broken_connection(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path / "t")
    transcript._file.close()
    transcript._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - closed below
    with pytest.raises(BranchlineError, match="No space left"):
        transcript.write(Exchange(at_ms=1, method="GET", path="/"))
    transcript.close()
