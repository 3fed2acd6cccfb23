"""What the requests of one attempt add up to."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from branchline.agents.metering.counting import Counted
from branchline.core.agent import Usage
from branchline.core.pricing import Price, price_of, priced

ENDS_SOON = 2.0  # seconds; a request ends with its agent


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

    def add(self, counted: Counted, asked_model: str) -> Usage:
        """Count a paid answer, priced by the model that gave it, or else by the one that was asked for."""
        model = counted.model if price_of(counted.model, self._prices) else asked_model
        plain = Usage(
            input_tokens=counted.input_tokens,
            output_tokens=counted.output_tokens,
            cached_tokens=counted.cached_tokens,
        )
        usage = priced(plain, model, self._prices)
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
        cost = _sum([usage.cost_usd for usage in used])
        return Usage(
            input_tokens=_whole(_sum([usage.input_tokens for usage in used])),
            output_tokens=_whole(_sum([usage.output_tokens for usage in used])),
            cached_tokens=_whole(_sum([usage.cached_tokens for usage in used])),
            cost_usd=cost,
            cost_source="unknown" if cost is None else "metered",
        )


def _sum(values: Sequence[float | None]) -> float | None:
    """Exact, so that the order in which answers ended does not matter."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
