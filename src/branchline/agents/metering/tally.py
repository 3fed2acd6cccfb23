"""What the requests of one attempt add up to, each counted while its answer passes."""

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from branchline.agents.metering.api import Question, Unasked
from branchline.agents.metering.counting import Counter
from branchline.core.model.agent import Usage
from branchline.core.model.pricing import Price, price_of, priced

ENDS_SOON = 2.0  # seconds; a request ends with its agent


class Exchange(msgspec.Struct, kw_only=True):
    """A line of the transcript: what was asked and used, never what was said.

    Times in milliseconds, `at_ms` since the proxy was opened. `status` 0: there was no answer; `ended`: why it is not
    whole. None is unknown.
    """

    at_ms: int
    method: str
    path: str
    model: str = ""
    status: int = 0
    ended: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    request_bytes: int = 0
    answer_bytes: int = 0
    milliseconds: int = 0


class Tally:
    """Adds up. Safe to use from many threads."""

    def __init__(self, prices: Mapping[str, Price], limit_usd: float | None) -> None:
        self._prices, self._limit = prices, limit_usd
        self._changed = threading.Condition()
        self._seen = self._under_way = 0
        self._used: list[Usage] = []

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While a request is being answered."""
        with self._changed:
            self._seen += 1
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def add(self, used: Usage, *models: str) -> Usage:
        """Count a paid answer, priced by the first of `models` that has a price: who gave it, who was asked for it."""
        model = next((model for model in models if price_of(model, self._prices)), "")
        usage = priced(used, model, self._prices)
        with self._changed:
            self._used.append(usage)
        return usage

    @property
    def spent_usd(self) -> float:
        """The known part of the cost, US dollars: no less has been spent."""
        with self._changed:
            return math.fsum(usage.cost_usd or 0.0 for usage in self._used)

    @property
    def over(self) -> bool:
        """Whether the known cost is over the limit."""
        return self._limit is not None and self.spent_usd > self._limit

    @property
    def usage(self) -> Usage:
        """The sum; what is unknown of one answer is unknown of all. Waits for answers under way, at most 2 s.

        Without a single request nothing is known: the agent may have gone to its provider past us.
        """
        with self._changed:
            settled = self._changed.wait_for(lambda: not self._under_way, ENDS_SOON)
            used = [*self._used, *([] if settled and self._seen else [Usage()])]
        counts = {name: _total(used, name) for name in ("input_tokens", "output_tokens", "cached_tokens")}
        cost = _total(used, "cost_usd", math.fsum)  # exact, so that the order in which answers ended does not matter
        return Usage(**counts, cost_usd=cost, cost_source="unknown" if cost is None else "metered")


def _total(used: Sequence[Usage], name: str, add: Callable[[list[Any]], Any] = sum) -> Any:
    values = [getattr(usage, name) for usage in used]
    return None if None in values else add(values)


class Account:
    """Adds one answer to the tally, once; before the agent sees its end, so that its next request finds it there."""

    def __init__(self, tally: Tally, asked: Question, line: Exchange) -> None:
        """`line` receives what is found out."""
        self._tally, self._asked, self._line = tally, asked, line
        self._length: int | None = None
        self._counter = Counter("")
        self._open = asked.paid

    def head(self, status: int, length: int | None, content_type: str) -> Unasked | None:
        """The answer begins; `length`: its bytes, if they are known. Errors and redirections cost nothing.

        Returns what keeps from the agent what only we have asked for.
        """
        self._line.status = status
        self._length = length
        self._counter = Counter(content_type)
        self._open = self._open and 200 <= status < 300
        return Unasked() if self._asked.usage_added and self._counter.is_stream else None

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
        usage = self._tally.add(self._counter.counted(whole=whole), self._counter.model, self._asked.model)
        line = self._line
        line.model = self._counter.model or line.model
        line.input_tokens, line.output_tokens = usage.input_tokens, usage.output_tokens
        line.cached_tokens, line.cost_usd = usage.cached_tokens, usage.cost_usd
