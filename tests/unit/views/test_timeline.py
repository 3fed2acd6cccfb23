import pytest

from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.format.text import width
from branchline.views.timeline import Bar, Timeline, lines, timeline


def test_one_bar_an_attempt(pipeline_run: list[Record]) -> None:
    bars = timeline("RUN", pipeline_run).bars
    tries = [
        (bar.attempt, bar.state, (bar.ended_at or 0) - bar.started_at) for bar in bars if "execute_b" in bar.task_id
    ]
    assert tries == [(1, State.FAILED, 30_000), (2, State.COMPLETED, 20_000)]
    assert len(bars) == 26


def test_a_running_attempt_reaches_to_now(pipeline_run: list[Record]) -> None:
    chart = timeline("RUN", pipeline_run[:2], now=pipeline_run[1].at + 4000)
    assert chart.bars[0].ended_at is None
    assert lines(chart, columns=60)[1].endswith("━│ ▶ 4.0s")


@pytest.mark.parametrize("columns", [20, 60, 80, 200])
def test_the_chart_fits(pipeline_run: list[Record], columns: int) -> None:
    assert max(map(width, lines(timeline("RUN", pipeline_run), columns=columns))) <= max(columns, 52)


def test_bars_are_to_scale_and_never_vanish() -> None:
    bars = (
        Bar(task_id="a", attempt=1, started_at=0, ended_at=50, state=State.COMPLETED),
        Bar(task_id="b", attempt=2, started_at=50, ended_at=50, state=State.FAILED),
        Bar(task_id="c", attempt=1, started_at=50, ended_at=100, state=State.CANCELLED),
    )
    chart = Timeline(run_id="RUN", started_at=0, until=100, bars=bars)
    assert lines(chart, columns=39) == [
        "        0               100ms",
        "  a    │━━━━━━━━━━          │ ✓ 50ms",
        "  b #2 │          ━         │ ✗ 0ms",
        "  c    │          ━━━━━━━━━━│ ⊘ 50ms",
    ]


def test_nothing_ran(pipeline_run: list[Record]) -> None:
    assert len(lines(timeline("RUN", pipeline_run[:1]))) == 1


def test_clocks_that_went_back_draw_something() -> None:
    bar = Bar(task_id="t" * 60, attempt=1, started_at=90, ended_at=80, state=State.COMPLETED)
    chart = lines(Timeline(run_id="RUN", started_at=100, until=100, bars=(bar,)))
    assert chart[1].count("━") == 1
    assert "t…" in chart[1]
