from collections.abc import Callable

from branchline.core.events import RunPolicy, RunStarted
from branchline.core.graph import Task
from branchline.core.run_state import replay
from branchline.core.states import State
from branchline.ledger.codec import Record
from branchline.views.format.text import width
from branchline.views.graph import graph, lines, mermaid

Drive = Callable[..., list[Record]]


def test_nodes_are_of_the_latest_round_and_every_edge_has_both_ends(pipeline_run: list[Record]) -> None:
    for number in range(1, len(pipeline_run) + 1):
        found = graph(replay(record.event for record in pipeline_run[:number]))
        waves = {node.id: node.wave for node in found.nodes}
        assert found.total_tasks == len(waves) == 23
        assert all(waves[other] < node.wave for node in found.nodes for other in node.dependencies)
    assert "task_010_gate_a_r2" in waves
    assert "task_010_gate_a" not in waves


def test_text_shows_waves_and_states(drive_graph: Drive) -> None:
    tasks = (Task(id="x"), Task(id="y"), Task(id="z", dependencies=("x", "y")))
    records = drive_graph(tasks, {"y": [{"state": State.FAILED}]})
    assert lines(graph(replay(record.event for record in records))) == [
        "3 tasks in 2 waves, at most 2 at once",
        "",
        "  1  ✓ x   ✗ y",
        "  2  ⊘ z",
        "",
        "  ✓ completed  ✗ failed  ⊘ cancelled",
    ]


def test_wide_waves_are_wrapped() -> None:
    tasks = tuple(Task(id=f"task_{number:03d}") for number in range(40))
    text = lines(graph(replay([RunStarted(kind="graph", started_at=0, tasks=tasks, policy=RunPolicy())])))
    assert sum(line.count("task_") for line in text) == 40
    assert max(map(width, text)) <= 80


def test_mermaid_names_nothing_that_it_reserves(drive_graph: Drive) -> None:
    tasks = (Task(id="end"), Task(id="graph", dependencies=("end",)))
    records = drive_graph(tasks, {"end": [{"state": State.FAILED}, {"state": State.COMPLETED}]})
    assert mermaid(graph(replay(record.event for record in records))).splitlines() == [
        "flowchart TD",
        '    t0["end<br/>completed<br/>attempt 2"]:::completed',
        '    t1["graph<br/>completed"]:::completed',
        "    t0 --> t1",
        "    classDef completed fill:#dafbe1,stroke:#1a7f37,color:#0f3d1c",
    ]
