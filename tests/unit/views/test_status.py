from collections.abc import Callable

import msgspec
import pytest

from branchline.core.events import RunEnded
from branchline.core.graph import Task
from branchline.core.run_state import replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.format.text import width
from branchline.views.status import Status, lines, status

Drive = Callable[..., list[Record]]


def status_of(records: list[Record], *, live: bool, later: int = 0) -> Status:
    state = replay(record.event for record in records)
    return status("RUN", records, state, records[-1].at + later, live=live)


def test_a_live_run_counts_on_an_interrupted_one_stands_still(pipeline_run: list[Record]) -> None:
    begun = pipeline_run[:12]
    live, dead = status_of(begun, live=True, later=5000), status_of(begun, live=False, later=5000)
    assert (live.status, dead.status) == ("running", "interrupted")
    assert live.elapsed_ms - dead.elapsed_ms == 5000
    assert (live.next, dead.next) == ("branchline log -f RUN", "branchline resume RUN")


def test_an_ended_run_needs_nobody(pipeline_run: list[Record]) -> None:
    found = status_of(pipeline_run, live=False)
    assert (found.status, found.reason) == ("partial", "b: conflict with a in greetings.txt")
    assert found.tasks == {State.COMPLETED: 23}
    assert found.next == "branchline diff RUN b"


def test_a_proposed_plan_waits_for_a_person(waiting_run: list[Record]) -> None:
    found = status_of(waiting_run, live=False)
    assert (found.status, found.next) == ("waiting", "branchline approve RUN")


def test_text(pipeline_run: list[Record]) -> None:
    assert lines(status_of(pipeline_run[:12], live=True, later=700)) == [
        "Run RUN: running, 1.7s",
        "",
        "  workstream  at         state    try  time",
        "  a           execute    running  1    1.7s",
        "  b           execute    pending       1.0s",
        "  docs        worktrees  pending             waits for a",
        "",
        "  tasks  17 pending, 1 running, 5 completed",
        "  next   branchline log -f RUN",
    ]


def test_landed_and_cut_off_have_words_of_their_own(pipeline_run: list[Record]) -> None:
    assert lines(status_of(pipeline_run[:12], live=False))[3].split()[:3] == ["a", "execute", "interrupted"]
    assert lines(status_of(pipeline_run, live=False))[3].split()[:3] == ["a", "ship", "landed"]


def test_every_moment_of_a_run_fits_the_terminal(pipeline_run: list[Record]) -> None:
    for number in range(1, len(pipeline_run) + 1):
        for line in lines(status_of(pipeline_run[:number], live=True, later=100)):
            assert width(line) <= 80
            assert line == line.rstrip()


def test_a_plain_graph_lists_tasks_and_says_why_it_failed(drive_graph: Drive) -> None:
    tasks = (Task(id="x"), Task(id="y", dependencies=("x",)))
    records = drive_graph(tasks, {"x": [{"state": State.FAILED, "reason": "boom"}]})
    found = status_of(records, live=False)
    text = lines(found)
    assert found.workstreams == ()
    assert text[2:4] == ["  task  state   try  time", "  x     failed  2    4.0s  boom"]
    assert "  boom" in text
    assert found.next == "branchline show RUN x"


@pytest.mark.parametrize(("word", "command"), [("succeeded", "diff"), ("cancelled", "show")])
def test_next_command(pipeline_run: list[Record], word: str, command: str) -> None:
    end = msgspec.convert({"event": "run_end", "status": word, "exit_code": 0}, RunEnded)
    last = msgspec.structs.replace(pipeline_run[-1], event=end)
    assert status_of([*pipeline_run[:-1], last], live=False).next == f"branchline {command} RUN"


def test_json_round_trip(pipeline_run: list[Record]) -> None:
    found = status_of(pipeline_run, live=False)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Status) == found
