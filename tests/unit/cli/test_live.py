"""The live table, drawn into a terminal that is a string; the run is told record by record."""

import io
import time
from collections.abc import Iterable

import pytest
from rich.console import Console

from branchline.cli.live import LONGEST_TEXT, Live
from branchline.core.events import AnyEvent, RunPolicy, RunStarted, Transition
from branchline.core.graph import Task
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.ledger.codec import Record

PENDING, RUNNING, FAILED = State.PENDING, State.RUNNING, State.FAILED


class Told:
    """A live table that hears of one running task."""

    def __init__(self) -> None:
        self.live, self.state, self.seq = Live("RUN"), RunState(), 0
        self.tell(
            [
                RunStarted(kind="graph", started_at=0, tasks=(Task(id="t"),), policy=RunPolicy()),
                self.move(PENDING, RUNNING, 1),
            ]
        )

    def move(self, old: State, new: State, attempt: int) -> Transition:
        return Transition(task_id="t", old_state=old, new_state=new, attempt=attempt)

    def tell(self, events: Iterable[AnyEvent]) -> None:
        for event in events:
            self.state.apply(event)
            record = Record(seq=self.seq, epoch=1, id="", at=self.seq, run_id="RUN", event=event)
            self.live.observe(self.state, [record])
            self.seq += 1

    def drawn(self, width: int = 60) -> list[str]:
        out = io.StringIO()
        Console(file=out, width=width, height=20, force_terminal=False).print(self.live._drawn())
        return out.getvalue().splitlines()


@pytest.fixture
def told() -> Told:
    return Told()


def test_what_an_agent_is_about_is_shown_in_one_line(told: Told) -> None:
    told.live.say("t", "claude_code: Edit src/x.py · 3 files · 12k tokens · $0.02")
    assert any("Edit src/x.py · 3 files" in line for line in told.drawn(100))
    told.live.say("t", "x\n\x1b[31m" + "long " * 100_000)
    lines = told.drawn()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 60
    assert "…" in lines[1]
    assert "\x1b[31m" not in lines[1]
    assert len(told.live._texts["t"]) == LONGEST_TEXT


def test_the_next_attempt_begins_without_the_words_of_the_last(told: Told) -> None:
    told.live.say("t", "working hard")
    told.tell([told.move(RUNNING, FAILED, 1), told.move(FAILED, PENDING, 1), told.move(PENDING, RUNNING, 2)])
    assert "working hard" not in "\n".join(told.drawn())


def test_many_words_cost_little(told: Told) -> None:
    text = "claude_code: Edit src/x.py · 3 files · 12k tokens · $0.02 " * 100
    began = time.process_time()
    for number in range(50 * 5 * 60):  # fifty agents, five times a second, for a minute
        told.live.say(f"t{number % 50}", text)
    assert time.process_time() - began < 1
