"""What all readers share: bounds, one form for paths, and words that are safe to show."""

import msgspec
import pytest

from branchline.agents.stream import LAST_WORDS, MOST, ON_A_LINE, StreamReader, decoded, one_line
from branchline.core.model.agent import AgentResult, AgentStatus, Usage
from branchline.process.spawn import Exit

NUMBERS = msgspec.json.Decoder(list[int])
DONE, FAILED = Exit(0, None, None, 0.1), Exit(1, None, None, 0.1)


class Echo(StreamReader):
    """Each line is a file that was changed, a tool that was denied, a text and a token."""

    def line(self, data: bytes) -> None:
        words = data.decode("utf-8", "replace")
        self._did(words)
        self._changed(words)
        self._denied(words)
        self._note(data)
        self._add(input_tokens=1)

    def result(self, ended: Exit, stderr: bytes) -> AgentResult:
        if not ended.ok or not self._doing:
            return self._without_result(ended, stderr)
        self._notes, self._session = self._noted(), self._doing
        return self._made(AgentStatus.OK, self._doing)


def test_what_is_decoded_and_what_is_none() -> None:
    assert decoded(b"[1, 2]", NUMBERS) == [1, 2]
    for odd in (b"", b"{", b'["a"]', b"\xff", b'["\\ud800"]', b"[" * 100_000, '["\ud800"]'):
        assert decoded(odd, NUMBERS) is None


def test_a_line_is_short_and_safe_to_show() -> None:
    assert one_line(" a\n\tb\x1b[31m \x07c ") == "a b c"
    assert len(one_line("x" * 10_000)) == ON_A_LINE


@pytest.mark.parametrize("worktree", ["/w", "/w/"])
def test_paths_inside_the_worktree_are_relative(worktree: str) -> None:
    reader = Echo(worktree)
    for path in (b"/w/a.py", b"/elsewhere/b.py", b"a.py"):
        reader.line(path)
    assert reader.progress.files == ("a.py", "/elsewhere/b.py")
    assert reader.progress.tokens == 3


def test_everything_is_kept_within_bounds() -> None:
    reader = Echo("/w", "m" * 1000)
    for number in range(2 * MOST):
        reader.line(b"%d " % number + b"x" * 2000)
    result = reader.result(DONE, b"")
    assert len(reader.progress.files) == len(result.denials) == MOST
    assert LAST_WORDS // 2 < len(result.notes) <= LAST_WORDS
    assert result.notes.endswith("x")
    assert len(result.model) == len(result.session_id) == len(reader.progress.doing) == ON_A_LINE


def test_a_result_holds_no_control_sequences_and_says_who_told_the_cost() -> None:
    reader = Echo("/w", "\x1b[31mm")
    reader.line(b"\x1b]0;title\x07word")
    assert reader.result(DONE, b"") == AgentResult(
        status=AgentStatus.OK,
        message="word",
        notes="word",
        model="m",
        session_id="word",
        usage=Usage(input_tokens=1),
        denials=("word",),
    )
    reader._usage = Usage(cost_usd=0.5)
    assert reader.result(DONE, b"").usage.cost_source == "agent"


@pytest.mark.parametrize(("ended", "status"), [(DONE, AgentStatus.INVALID_OUTPUT), (FAILED, AgentStatus.CRASHED)])
def test_without_an_end_of_its_own_it_is_no_success(ended: Exit, status: AgentStatus) -> None:
    silent = Echo("/w").result(ended, b"")
    assert (silent.status, silent.message) == (status, "its stream ends without a result")
    assert Echo("/w").result(ended, b"a\nlast words\n").message == "last words"
