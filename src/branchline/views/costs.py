"""What the agents used. Unknown is unknown, never zero."""

from collections.abc import Sequence

import msgspec

from branchline.core.events import ExecuteWsComplete
from branchline.core.run_state import RunState
from branchline.views.attempts import attempts
from branchline.views.record import Timed
from branchline.views.text import count


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of what is known (None: nothing is), and the number of attempts of which it is not known."""

    known: float | None
    unknown_attempts: int


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What all attempts of all agents used, in tokens and US dollars."""

    input_tokens: Used
    output_tokens: Used
    cost_usd: Used


def costs(records: Sequence[Timed], state: RunState) -> Costs:
    """The sums over a ledger. An attempt that ended without a word on its usage counts as unknown."""
    tried = [a for a in attempts(records).all if state.records[a.task_id].task.step == "execute"]
    told = [record.event.usage for record in records if isinstance(record.event, ExecuteWsComplete)]

    def used(key: str) -> Used:
        known = [value for usage in told if isinstance(value := usage.get(key), int | float)]
        return Used(known=sum(known) if known else None, unknown_attempts=max(0, len(tried) - len(known)))

    return Costs(input_tokens=used("input_tokens"), output_tokens=used("output_tokens"), cost_usd=used("cost_usd"))


def rows(costs: Costs) -> list[tuple[str, str]]:
    """The costs as (what, how much), e.g. (`cost`, `$0.02, unknown for 2 attempts`)."""
    return [
        ("cost", _amount(costs.cost_usd, "${:,.2f}")),
        ("input tokens", _amount(costs.input_tokens, "{:,.0f}")),
        ("output tokens", _amount(costs.output_tokens, "{:,.0f}")),
    ]


def _amount(used: Used, form: str) -> str:
    if used.known is None:
        return "unknown"
    unknown = f", unknown for {count(used.unknown_attempts, 'attempt')}" if used.unknown_attempts else ""
    return form.format(used.known) + unknown
