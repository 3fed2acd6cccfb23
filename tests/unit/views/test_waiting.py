import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from branchline.core import events as e
from branchline.core import facts as f
from branchline.core.run_state import replay
from branchline.ledger.codec import Record
from branchline.views.recap import lines, recap
from branchline.views.record import last_at
from branchline.views.status import SHOWN, next_commands, progress, status, waiting, waiting_lines
from branchline.views.status import lines as status_lines

Drive = Callable[..., list[Record]]
Append = Callable[[list[Record], int, e.AnyEvent], list[Record]]
CONSUME, SHIP = "task_014_consume_b", "task_022_ship"


def needed(step: str, workstream: str, *concerns: f.Concern) -> f.ApprovalNeeded:
    return f.ApprovalNeeded(
        task_id="t", step=step, workstream=workstream, tree="7" * 40, base="6" * 40, concerns=concerns
    )


def protected(path: str) -> f.Concern:
    return f.Concern(kind="protected", path=path, reason="is protected (added)")


@pytest.fixture
def held(drive_pipeline: Drive) -> list[Record]:
    """The batch of b waits."""
    need = needed("consume", "b", protected("ci\x1b.yml"), protected("AGENTS.md"), protected("CLAUDE.md"))
    return drive_pipeline({"task_011_gate_b": [{"facts": (need,)}]})


@pytest.fixture
def unshipped(drive_pipeline: Drive) -> list[Record]:
    """The merge waits to be shipped."""
    need = needed("ship", "", f.Concern(kind="ship", reason="main is to move to it"))
    merged = f.IntegrationComplete(
        task_id="task_020_merge", branch="i", commit="c", merged=("a", "docs"), dropped={"b": "conflict"}
    )
    return drive_pipeline({"task_020_merge": [{"facts": (merged, need)}]})


def text_of(records: list[Record]) -> str:
    state = replay(record.event for record in records)
    return "\n".join(lines(recap("RUN", records, state, "d"), records, state))


def test_a_recap_says_what_waits_why_and_what_to_type(held: list[Record]) -> None:
    state = replay(record.event for record in held)
    made = recap("RUN", held, state, "d")
    text = text_of(held)
    assert (made.status, made.exit_code) == ("waiting", 4)
    assert [(one.task_id, one.tree, len(one.concerns)) for one in made.waiting] == [(CONSUME, "7" * 40, 3)]
    assert f"Waits for a person\n  {CONSUME}  ci\\x1b.yml is protected (added)\n" in text
    assert text.endswith(
        f"Next\n  branchline diff RUN b\n  branchline approve RUN {CONSUME}\n  branchline reject RUN {CONSUME}"
    )
    assert json.loads(msgspec.json.encode(made))["waiting"][0]["concerns"][1]["path"] == "AGENTS.md"


def test_a_status_says_so_too(held: list[Record]) -> None:
    state = replay(record.event for record in held)
    found = status("RUN", held, state, held[-1].at, live=False)
    assert (found.status, found.next) == ("waiting", "branchline diff RUN b")
    text = "\n".join(status_lines(found))
    assert "waits for approval:" in text
    assert "ci\\x1b.yml is protected (added)" in text
    assert f"  branchline reject RUN {CONSUME}\n" in text
    row = next(row for row in found.workstreams if row.name == "b")
    assert (row.step, row.state) == ("consume", "PENDING")


def test_shipping_that_waits(unshipped: list[Record]) -> None:
    state = replay(record.event for record in unshipped)
    assert [w.task_id for w in waiting(state)] == [SHIP]
    assert next_commands("RUN", "waiting", state)[:2] == ("branchline diff RUN", f"branchline approve RUN {SHIP}")
    from branchline.views.timeline import attempts

    rows = {row.name: row.reason for row in progress(state, attempts(unshipped), 0)}
    assert rows["a"] == "merged, waits for approval: main is to move to it"


def test_many_concerns_are_counted() -> None:
    need = needed("consume", "b", *(protected(f"{number}.yml") for number in range(SHOWN + 3)))
    found: Any = type("State", (), {"waiting": {"t": msgspec.structs.replace(need, more=4)}})()
    text = waiting_lines(waiting(found))
    assert len(text) == SHOWN + 1
    assert text[-1].strip() == "and 7 more"


def test_a_run_that_was_rolled_back_says_so_and_took_no_longer(pipeline_run: list[Record], appended: Append) -> None:
    asked = appended(pipeline_run, 1_000_000, e.IntentReceived(kind="rollback", by="alice"))
    back = appended(asked, 10, e.RolledBack(target="main", commit="d" * 40, reverts="c" * 40, by="alice"))
    assert last_at(back) == last_at(asked) == last_at(pipeline_run)
    assert last_at(back[-2:]) == back[-2].at
    state = replay(record.event for record in back)
    found = status("RUN", back, state, back[-1].at, live=False)
    assert (found.status, found.next) == ("rolled_back", "branchline show RUN")
    assert found.elapsed_ms == pipeline_run[-1].at - pipeline_run[0].at
    text = text_of(back)
    assert f"a     cancelled: rolled back by alice in {'d' * 12}" in text
    assert "Landed on" not in text


def test_what_a_save_left_out_is_loud(pipeline_run: list[Record], appended: Append) -> None:
    saved = f.WorktreeSaved(task_id="t", workstream="a", ref="r", commit="c", left_out=("huge.bin: too large",))
    stays = f.WorktreeSaved(task_id="t", workstream="b", ref="", commit="", kept="no space left")
    text = text_of(appended(appended(pipeline_run, 1, saved), 1, stays))
    assert "kept as it is\n  a  huge.bin: too large\n  b  its worktree stays: no space left\n" in text
