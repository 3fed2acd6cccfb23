"""Money: what a run may spend, what is reserved, what is spent. What an attempt cost may be unknown; it is never zero."""

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal

import msgspec

from branchline.core.model.plan import Model

Dollars = Annotated[float, msgspec.Meta(gt=0)]
ROUNDING = 1e-9  # dollars; sums of floats


class Budget(Model, frozen=True, kw_only=True):
    """Limits in US dollars; None is none.

    Before a task that calls an agent starts, `attempt` (without it: a share of the run's limit) is reserved. `unknown`:
    what happens after an agent could not tell what it cost: `refuse` starts no other, `allow` goes on with a warning;
    either way the attempt counts as what was reserved for it.
    """

    attempt: Dollars | None = None
    workstream: Dollars | None = None
    run: Dollars | None = None
    day: Dollars | None = None
    unknown: Literal["refuse", "allow"] = "refuse"

    @property
    def limited(self) -> bool:
        """Whether there is any limit."""
        return any(limit is not None for limit in (self.attempt, self.workstream, self.run, self.day))


@dataclass(slots=True)
class Purse:
    """What one attempt may still spend in US dollars; `reserved` None is without limit."""

    reserved: float | None = None
    spent: float = 0.0
    unknown: int = 0

    @property
    def left(self) -> float | None:
        """What is left of the reservation; a call that could not tell its cost has used up all of it."""
        if self.reserved is None:
            return None
        return 0.0 if self.unknown else max(0.0, self.reserved - self.spent)

    def pay(self, cost_usd: float | None) -> None:
        """Take a cost out; None is unknown."""
        self.spent += cost_usd or 0.0
        self.unknown += cost_usd is None


@dataclass(slots=True)
class Account:
    """The money of a run or of a workstream, in US dollars; `reserved` by task."""

    spent: float = 0.0
    reserved: dict[str, float] = field(default_factory=dict)

    def left(self, limit: float | None) -> float | None:
        """What may still be reserved; None is without limit."""
        return None if limit is None else limit - self.spent - sum(self.reserved.values())


@dataclass(slots=True)
class Spending:
    """What a ledger tells of money. `unknown`: the tasks whose agents could not tell what they cost.

    `repairs`: what a workstream's repair rounds cost; infinite as soon as nobody knows and nothing had been reserved.
    """

    total: Account = field(default_factory=Account)
    workstreams: dict[str, Account] = field(default_factory=dict)
    repairs: dict[str, float] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    _attempts: dict[str, Purse] = field(default_factory=dict)

    def reserved_for(self, task_id: str) -> float | None:
        """What the running attempt of a task may spend; None is without limit."""
        return self.total.reserved.get(task_id)

    def begin(self, task_id: str, workstream: str, reserved: float | None) -> None:
        """An attempt starts, with what is reserved for it."""
        self._attempts[task_id] = Purse(reserved)
        if reserved is not None:
            for account in self._accounts(workstream):
                account.reserved[task_id] = reserved

    def pay(self, task_id: str, workstream: str, cost: float | None, *, repair: bool) -> None:
        """An agent of the running attempt has told what it cost, in US dollars; None is unknown."""
        purse = self._attempts.setdefault(task_id, Purse())
        if cost is None:
            self.unknown.append(task_id)
        if repair:
            most = inf if purse.reserved is None else purse.reserved
            self.repairs[workstream] = self.repairs.get(workstream, 0.0) + (most if cost is None else cost)
        purse.pay(cost)

    def end(self, task_id: str, workstream: str, *, lost: bool = False) -> None:
        """An attempt is over: its cost is spent, and the rest of its reservation free again.

        One that is `lost` with its coordinator counts as what was reserved: what its agent had spent will never be known.
        That is no agent's silence: a run with `unknown: refuse` goes on after a crash.
        """
        purse = self._attempts.pop(task_id, None)
        if purse is None:
            return
        for account in self._accounts(workstream):
            account.spent += max(purse.spent, purse.reserved or 0.0) if purse.unknown or lost else purse.spent
            account.reserved.pop(task_id, None)

    def _accounts(self, workstream: str) -> tuple[Account, ...]:
        return (self.total, self.workstreams.setdefault(workstream, Account())) if workstream else (self.total,)


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether an attempt gets its money. `dollars` None is without limit; `wait`: not now; `refused`: why never."""

    dollars: float | None = None
    wait: bool = False
    refused: str = ""


def grant(budget: Budget, spending: Spending, workstream: str, at_once: int) -> Grant:
    """What an attempt that is about to start may spend, where as many as `at_once` may run beside each other."""
    if not budget.limited:
        return Grant()
    if spending.unknown and budget.unknown == "refuse":
        return Grant(refused=f"what {spending.unknown[0]} cost is unknown, and budget.unknown is refuse")
    rooms = [("run", budget.run, spending.total)]
    if workstream:
        mine = spending.workstreams.get(workstream, Account())
        rooms.append((f"workstream {workstream}", budget.workstream, mine))
    share = None if budget.run is None else budget.run / at_once
    wanted = budget.attempt or min((one for one in (share, budget.workstream) if one is not None), default=None)
    if wanted is None:
        return Grant()
    granted = wanted
    for name, limit, account in rooms:
        left = account.left(limit)
        if left is None or left >= wanted - ROUNDING:
            continue
        if account.reserved:  # what others do not use of theirs will be free again
            return Grant(wait=True)
        if left <= ROUNDING:
            return Grant(refused=f"the budget of {name}, ${limit:,.2f}, is spent")
        granted = min(granted, left)
    return Grant(dollars=granted)
