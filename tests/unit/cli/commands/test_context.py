"""The line about indexing: only on a terminal, only if it takes its time, gone at the end."""

import io
import time

import pytest

from branchline.cli.commands.context import PATIENCE, Indexing
from branchline.cli.output import ERASE


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal for stderr; no fixture, because pytest takes stderr back between set-up and test."""
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    return stream


def test_a_short_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = terminal(monkeypatch)
    indexing = Indexing()
    for done in range(1, 13):
        indexing.hear(done, 12)
    indexing.end()
    assert (indexing.files, stream.getvalue()) == (12, "")
    assert 0 <= indexing.elapsed_ms < 1000


@pytest.mark.parametrize("is_live", [True, False])
def test_a_long_one_is_shown_and_taken_away(monkeypatch: pytest.MonkeyPatch, *, is_live: bool) -> None:
    stream = terminal(monkeypatch)
    if not is_live:
        monkeypatch.setenv("CI", "1")
    indexing = Indexing()
    time.sleep(PATIENCE)
    for done in (1200, 1201):
        indexing.hear(done, 2700)
    indexing.end()
    indexing.end()
    assert stream.getvalue() == (f"{ERASE}indexing 1,200 of 2,700 files{ERASE}" if is_live else "")
    assert indexing.elapsed_ms >= 1000
