import json

import pytest

from branchline.agents.acp_runner.order import Failed, emit


def test_an_event_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    emit("text", text="a\n\u00e9\udcff", kind=None)
    told = capsys.readouterr().out
    assert told.isascii()
    assert told.count("\n") == 1
    assert json.loads(told) == {"type": "text", "text": "a\n\u00e9\udcff", "kind": None}


def test_a_failure_tells_its_kind() -> None:
    failed = Failed("agent", "no", 401)
    assert (failed.kind, str(failed), failed.code) == ("agent", "no", 401)
