"""The task graph with its states: in waves for a terminal, or as a Mermaid flowchart."""

from collections.abc import Iterator

import msgspec

from branchline.core.graph import execution_plan
from branchline.core.run_state import RunState
from branchline.core.states import State
from branchline.views.format.text import COLUMNS, MARKS, count, width

CLASSES = {
    State.PENDING: "fill:#f6f8fa,stroke:#8c959f,color:#57606a",
    State.RUNNING: "fill:#ddf4ff,stroke:#0969da,color:#0a3069",
    State.COMPLETED: "fill:#dafbe1,stroke:#1a7f37,color:#0f3d1c",
    State.FAILED: "fill:#ffebe9,stroke:#cf222e,color:#82071e",
    State.SKIPPED: "fill:#ffffff,stroke:#8c959f,color:#57606a,stroke-dasharray:4",
    State.CANCELLED: "fill:#fff8c5,stroke:#9a6700,color:#4d2d00",
}


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A task in its latest round. `wave` counts from 1; `dependencies` are ids of latest rounds too."""

    id: str
    step: str
    workstream: str
    round: int
    state: State
    attempt: int
    wave: int
    dependencies: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """The graph, its nodes in the one order in which they would start."""

    total_tasks: int
    total_waves: int
    max_parallelism: int
    nodes: tuple[Node, ...]


def graph(state: RunState) -> Graph:
    """The graph of a run as it is now: superseded rounds are left out."""
    tasks = {}
    for record in state.current().values():
        origins = (state.records[name].task.origin or name for name in record.task.dependencies)
        dependencies = tuple(dict.fromkeys(state.latest[name] for name in origins))
        tasks[record.task.id] = msgspec.structs.replace(record.task, dependencies=dependencies, when=None)
    plan = execution_plan(tasks.values())
    nodes = []
    for wave, names in enumerate(plan.waves, start=1):
        for name in names:
            task, record = tasks[name], state.records[name]
            told = {key: getattr(task, key) for key in ("id", "step", "workstream", "round", "dependencies")}
            nodes.append(Node(**told, state=record.state, attempt=record.attempt, wave=wave))
    totals = {key: getattr(plan, key) for key in ("total_tasks", "total_waves", "max_parallelism")}
    return Graph(**totals, nodes=tuple(nodes))


def lines(graph: Graph, *, columns: int = COLUMNS) -> list[str]:
    """The waves as text: tasks on one line have no path between them and may run together."""
    margin = len(str(graph.total_waves)) + 2
    size = f"{count(graph.total_tasks, 'task')} in {count(graph.total_waves, 'wave')}"
    out = [f"{size}, at most {graph.max_parallelism} at once", ""]
    for wave in range(1, graph.total_waves + 1):
        cells = [f"{MARKS[node.state]} {node.id}" for node in graph.nodes if node.wave == wave]
        for number, row in enumerate(_filled(cells, columns - margin - 2)):
            out.append(f"{wave if number == 0 else '':>{margin}}  {row}")
    present = [state for state in State if any(node.state == state for node in graph.nodes)]
    return [*out, "", "  " + "  ".join(f"{MARKS[state]} {state.lower()}" for state in present)]


def _filled(cells: list[str], columns: int) -> Iterator[str]:
    row = ""
    for cell in cells:
        if row and width(row) + width(cell) + 3 > columns:
            yield row
            row = ""
        row = f"{row}   {cell}" if row else cell
    yield row


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart, one colour a state.

    Nodes are numbered, because a task may be called `end`, which Mermaid reserves.
    """
    names = {node.id: f"t{number}" for number, node in enumerate(graph.nodes)}
    out = ["flowchart TD"]
    for node in graph.nodes:  # task ids hold nothing that Mermaid would act on within quotes
        attempt = f"<br/>attempt {node.attempt}" if node.attempt > 1 else ""
        state = node.state.lower()
        out.append(f'    {names[node.id]}["{node.id}<br/>{state}{attempt}"]:::{state}')
    for node in graph.nodes:
        out += [f"    {names[other]} --> {names[node.id]}" for other in node.dependencies]
    present = {node.state for node in graph.nodes}
    out += [f"    classDef {state.lower()} {style}" for state, style in CLASSES.items() if state in present]
    return "\n".join(out) + "\n"
