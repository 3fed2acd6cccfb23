import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchline.core.retry import RetryOverride, RetryPolicy, delay_seconds, effective


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(), [60, 120, 240, 480]),
        (RetryPolicy(backoff="linear"), [60, 120, 180, 240]),
        (RetryPolicy(backoff="fixed"), [60, 60, 60, 60]),
        (RetryPolicy(max_seconds=100), [60, 100, 100, 100]),
        (RetryPolicy(multiplier=3, base_seconds=1), [1, 3, 9, 27]),
        (RetryPolicy(base_seconds=0), [0, 0, 0, 0]),
    ],
)
def test_the_table_of_delays(policy: RetryPolicy, expected: list[float]) -> None:
    assert [delay_seconds(policy, attempt, "seed") for attempt in (1, 2, 3, 4)] == expected


def test_the_default_allows_three_attempts() -> None:
    assert RetryPolicy().max_attempts == 3


def test_the_longest_policy_that_can_be_configured_has_a_delay() -> None:
    policy = RetryPolicy(max_attempts=100, multiplier=100, base_seconds=31_536_000)
    assert delay_seconds(policy, 100, "seed") == policy.max_seconds


@settings(deadline=None)
@given(st.integers(1, 100), st.text(), st.floats(0, 1000))
def test_jitter_is_bounded_and_the_same_every_time(attempt: int, seed: str, jitter: float) -> None:
    policy = RetryPolicy(backoff="fixed", jitter_seconds=jitter)
    delay = delay_seconds(policy, attempt, seed)
    assert 60 <= delay <= 60 + jitter
    assert delay_seconds(policy, attempt, seed) == delay


def test_jitter_differs_between_tasks_and_attempts() -> None:
    policy = RetryPolicy(backoff="fixed", jitter_seconds=10)
    assert len({delay_seconds(policy, attempt, seed) for attempt in range(1, 10) for seed in "abc"}) == 27


def test_overrides_change_only_what_they_name() -> None:
    policy = RetryPolicy(max_attempts=5, jitter_seconds=1)
    assert effective(policy, None, "") is policy
    changed = effective(policy, RetryOverride(max_attempts=1, base_seconds=0), "")
    assert changed == RetryPolicy(max_attempts=1, base_seconds=0, jitter_seconds=1)


def test_the_error_class_has_the_last_word() -> None:
    policy = RetryPolicy(by_class={"timeout": RetryOverride(max_attempts=2)})
    task = RetryOverride(max_attempts=7, backoff="fixed")
    assert effective(policy, task, "crashed").max_attempts == 7
    assert effective(policy, task, "timeout").max_attempts == 2
    assert effective(policy, task, "timeout").backoff == "fixed"
    assert effective(policy, None, "") is policy
