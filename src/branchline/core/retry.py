"""When a failed attempt is tried again: configuration, not code. The engine decides; no entry action ever does."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1, le=100)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31_536_000)]
Multiplier = Annotated[float, msgspec.Meta(ge=1, le=100)]


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How often and how late a failed attempt is tried again.

    exponential: base x multiplier^(attempt-1), linear: base x attempt, fixed: base; never above `max_seconds`.
    `by_class` overrides the fields it names for one error class (`timeout`, `crashed`, ...).
    """

    max_attempts: Count = 3
    backoff: Literal["exponential", "linear", "fixed"] = "exponential"
    base_seconds: Seconds = 60.0
    multiplier: Multiplier = 2.0
    max_seconds: Seconds = 3600.0
    jitter_seconds: Seconds = 0.0
    by_class: Mapping[str, "RetryOverride"] = {}


class RetryOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a `RetryPolicy` that one task or one error class changes."""

    max_attempts: Count | None = None
    backoff: Literal["exponential", "linear", "fixed"] | None = None
    base_seconds: Seconds | None = None
    multiplier: Multiplier | None = None
    max_seconds: Seconds | None = None
    jitter_seconds: Seconds | None = None


def effective(policy: RetryPolicy, task: RetryOverride | None, error_class: str) -> RetryPolicy:
    """The policy that holds for a task and an error class, with the fields that these set; the class has the last word."""
    for change in filter(None, (task, policy.by_class.get(error_class))):
        fields = {name: value for name in change.__struct_fields__ if (value := getattr(change, name)) is not None}
        policy = msgspec.structs.replace(policy, **fields)
    return policy


def delay_seconds(policy: RetryPolicy, attempt: int, seed: str) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    The jitter is a hash of the seed, not a die: the same ledger must give the same time.
    """
    match policy.backoff:
        case "exponential":
            wait = policy.base_seconds * policy.multiplier ** (attempt - 1)
        case "linear":
            wait = policy.base_seconds * attempt
        case _:
            wait = policy.base_seconds
    chance = int.from_bytes(hashlib.sha256(f"{seed}/{attempt}".encode()).digest()[:4], "big") / 2**32
    return min(wait, policy.max_seconds) + policy.jitter_seconds * chance


def longest_seconds(policy: RetryPolicy) -> float:
    """The longest that anything waits by a policy, whichever its error was."""
    each = [policy, *(effective(policy, None, name) for name in policy.by_class)]
    return max(one.max_seconds + one.jitter_seconds for one in each) + 1
