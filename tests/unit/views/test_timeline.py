import pytest

from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.format.text import width
from branchline.views.timeline import Attempt, attempts, chart, lines


def test_one_bar_an_attempt(pipeline_run: list[Record]) -> None:
    bars = attempts(pipeline_run).all
    tries = [
        (bar.attempt, bar.state, (bar.ended_at or 0) - bar.started_at) for bar in bars if "execute_b" in bar.task_id
    ]
    assert tries == [(1, State.FAILED, 30_000), (2, State.COMPLETED, 20_000)]
    assert len(bars) == len(lines(pipeline_run)) - 1 == 26


def test_a_running_attempt_reaches_to_the_end(pipeline_run: list[Record]) -> None:
    running = attempts(pipeline_run[:2]).all
    assert running[0].ended_at is None
    drawn = chart(running, pipeline_run[0].at, pipeline_run[1].at + 4000, columns=60)
    assert drawn[1].endswith("━│ ▶ 4.0s")


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_the_chart_fits(pipeline_run: list[Record], columns: int) -> None:
    assert max(map(width, lines(pipeline_run, columns=columns))) <= max(columns, 52)


def test_bars_are_to_scale_and_never_vanish() -> None:
    bars = (
        Attempt("a", 1, 0, 50, State.COMPLETED),
        Attempt("b", 2, 50, 50, State.FAILED),
        Attempt("c", 1, 50, 100, State.CANCELLED),
    )
    assert chart(bars, 0, 100, columns=39) == [
        "        0               100ms",
        "  a    │━━━━━━━━━━          │ ✓ 50ms",
        "  b #2 │          ━         │ ✗ 0ms",
        "  c    │          ━━━━━━━━━━│ ⊘ 50ms",
    ]


def test_nothing_ran(pipeline_run: list[Record]) -> None:
    assert len(lines(pipeline_run[:1])) == 1


def test_clocks_that_went_back_draw_something() -> None:
    drawn = chart([Attempt("t" * 60, 1, 90, 80, State.COMPLETED)], 100, 100)
    assert drawn[1].count("━") == 1
    assert "t…" in drawn[1]
