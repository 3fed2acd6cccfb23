"""The day's budget: what all runs of a repository may spend on one day (UTC), those that are still running included."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from branchline.core.budget import Budget
from branchline.errors import InvalidInput
from branchline.ledger.lease import take
from branchline.ledger.log import read, require
from branchline.ledger.paths import RunPaths
from branchline.ledger.runs import own_runs


@contextmanager
def day_limited(paths: RunPaths, budget: Budget, now: int) -> Iterator[Budget]:
    """The budget of a run that begins at `now` (Unix milliseconds), its own limit cut to what is left of the day.

    The block makes it durable; until then no other run of the repository can begin and count on the same money.
    Raises InvalidInput if nothing is left.
    """
    if budget.day is None:
        yield budget
        return
    paths.runs.mkdir(parents=True, exist_ok=True)
    lock = os.open(paths.runs / "budget.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        take(lock, paths.runs / "budget.lock", wait=True)
        left = budget.day - committed(paths, now)
        if left <= 0:
            raise InvalidInput(
                f"the budget of the day, ${budget.day:,.2f}, is spent or promised to runs that are under way",
                hint="branchline costs; raise budget.day, or give each run a budget.run of its own",
            )
        yield replace(budget, run=left if budget.run is None else min(left, budget.run))
    finally:
        os.close(lock)


def committed(paths: RunPaths, now: int) -> float:
    """What the other runs that began on the day of `now` have spent, or may still spend if they have not ended.

    Raises LedgerError: what a ledger that does not verify has spent is unknown, and unknown is not zero.
    """
    day, total = _day(now), 0.0
    for other in own_runs(paths.root):
        reading = read(other)
        if reading.fault is None and not reading.records:  # killed as it began: it has started nothing
            continue
        state = require(reading, other)
        if other.run_id == paths.run_id or _day(state.started_at) != day:
            continue
        spent, limit = state.spending.total.spent, state.policy.budget.run
        total += spent if state.end is not None or limit is None else max(spent, limit)
    return total


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
