"""What one answer has used, counted while it passes."""

from branchline.agents.metering.api import Question
from branchline.agents.metering.counting import Counted, Counter
from branchline.agents.metering.reply import Reply
from branchline.agents.metering.tally import Tally
from branchline.agents.metering.transcript import Exchange


class Account:
    """Adds one answer to the tally, once; before the agent sees its end, so that its next request finds it there."""

    def __init__(self, tally: Tally, asked: Question, line: Exchange) -> None:
        """`line` receives what is found out."""
        self._tally, self._asked, self._line = tally, asked, line
        self._length: int | None = None
        self._counter = Counter("")
        self._open = asked.paid

    def head(self, reply: Reply) -> None:
        """The answer begins. Errors and redirections cost nothing."""
        self._line.status = reply.status
        self._length = reply.length
        self._counter = Counter(reply.content_type)
        self._open = self._open and 200 <= reply.status < 300

    def take(self, piece: bytes) -> None:
        """The next piece of the body."""
        self._line.answer_bytes += len(piece)
        if not self._open:
            return
        self._counter.feed(piece)
        whole = self._line.answer_bytes == self._length
        if whole or self._counter.complete:
            self.settle(whole=whole)

    def settle(self, *, whole: bool) -> None:
        """The answer has ended; `whole`: it was not broken off. One that has to be paid all the same is unknown."""
        if not self._open:
            return
        self._open = False
        self._add(self._counter.counted(whole=whole))

    def _add(self, counted: Counted) -> None:
        line, usage = self._line, self._tally.add(counted, self._asked.model)
        line.model = counted.model or line.model
        line.input_tokens, line.output_tokens = usage.input_tokens, usage.output_tokens
        line.cached_tokens, line.cost_usd = usage.cached_tokens, usage.cost_usd
