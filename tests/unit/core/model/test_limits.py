"""Limits of processes, and the words for going over them."""

import pytest

from branchline.core.model.limits import LIMIT_REASONS, UNLIMITED, ProcessLimits


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("memory_limit", "it used more than 512 MB of memory"),
        ("cpu_limit", "it used more than 90 s of processor time"),
        ("process_limit", "it ran more than 20 processes at once"),
        ("file_limit", "it wrote a file of 5 MB or more"),
        ("output_limit", "it printed more than 6 MB"),
        ("disk_limit", "it filled more than 7 MB of disk"),
        ("silence", "it printed nothing for 0.5 s"),
    ],
)
def test_each_is_told_with_its_amount(reason: str, words: str) -> None:
    limits = ProcessLimits(memory_mb=512, cpu="1m30s", processes=20, file_mb=5, output_mb=6, disk_mb=7, silence="500ms")
    assert limits.excess(reason) == words


def test_every_reason_has_words() -> None:
    assert all(UNLIMITED.excess(reason).startswith("it ") for reason in LIMIT_REASONS)
    assert ProcessLimits().excess("memory_limit") == "it used more than nine tenths of the machine's memory"
