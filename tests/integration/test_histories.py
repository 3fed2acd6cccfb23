"""Ledgers of real runs, of every release, lead to the same states and the same decisions today."""

from pathlib import Path

import pytest

from histories.decisions import decisions, ledgers
from histories.shown import shown


@pytest.mark.parametrize("ledger", ledgers(), ids=lambda path: path.stem)
def test_a_canned_ledger_leads_to_the_same_decisions(ledger: Path) -> None:
    assert list(decisions(ledger)) == ledger.with_suffix(".decisions").read_text("utf-8").splitlines()


@pytest.mark.parametrize("ledger", ledgers(), ids=lambda path: path.stem)
def test_a_canned_ledger_shows_what_its_own_version_showed(ledger: Path) -> None:
    assert shown(ledger) == ledger.with_suffix(".shown").read_text("utf-8")


def test_there_is_a_ledger_of_every_kind_of_end() -> None:
    text = "".join(ledger.read_text("utf-8") for ledger in ledgers())
    assert len(ledgers()) >= 12
    for status in ("succeeded", "partial", "failed", "cancelled"):
        assert f'"status":"{status}"' in text
    for event in ("run_resumed", "plan_proposed", "tasks_added", "attempt_interrupted", "gave_up", "approval"):
        assert f'"event":"{event}"' in text
