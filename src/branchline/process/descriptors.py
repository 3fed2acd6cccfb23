"""Descriptors of this process for the connections of what it runs: so many and no more, so that it has always some itself."""

import resource
from functools import cache
from typing import ClassVar
from weakref import WeakSet

ENOUGH = 8192  # descriptors; where the system lets us have them, we ask for so many
EACH = 128  # connections of one attempt


class Places:
    """The connections that one proxy holds, each of two descriptors. All proxies together hold half of all descriptors."""

    _all: "ClassVar[WeakSet[Places]]" = WeakSet()

    def __init__(self) -> None:
        self.held = 0
        self._all.add(self)

    @property
    def free(self) -> bool:
        """Whether there may be one more: some are kept for others, whatever one of them does."""
        most = raised()[0] // 4
        return self.held < min(EACH, most // 8) and sum(one.held for one in [*self._all]) < most


@cache
def raised() -> tuple[int, int, int]:
    """How many descriptors we may have, raised at the first call; and the two limits of what we start, as they were."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ours = max(soft, ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (ours, hard))
    return ours, soft, hard
