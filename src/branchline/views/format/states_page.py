"""The page docs/states.md: the table of states as text, and drawn as a Mermaid diagram."""

from collections.abc import Iterator

from branchline.core.states import PHASES, STATES, TERMINAL, State

INTRODUCTION = """# States of a task

`make states` writes this page from the table in `core/states.py`. The engine takes no move that is not in it, and the
public `ExecutionStateMachine` ([library](guides/library.md)) uses the same table.
"""
HIDDEN = """
What lies inside a state is derived from the ledger (`core/run_state.py`); it moves no task by itself, but it says what
happens next:
"""


def page() -> str:
    """The whole page."""
    rows = ["| state | meaning | may go to |", "|---|---|---|"]
    for name, spec in STATES.items():
        rows.append(f"| {name} | {spec['description']} | {', '.join(spec['allowed_transitions']) or '(terminal)'} |")
    phases = ["| state | inside it | meaning |", "|---|---|---|"]
    for state, inside in PHASES.items():
        phases += [f"| {state} | {name} | {spec['description']} |" for name, spec in inside.items()]
    diagram = ["", "```mermaid", *diagram_lines(), "```"]
    return "\n".join([INTRODUCTION, *rows, *diagram, HIDDEN, *phases]) + "\n"


def diagram_lines() -> Iterator[str]:
    """A Mermaid state diagram. A phase is named after its state, because the names of states are global in Mermaid."""
    yield "stateDiagram-v2"
    for state, inside in PHASES.items():
        yield f"    state {state} {{"
        for name, spec in inside.items():
            yield f"        {state}_{name} : {name}"
            yield from (f"        {state}_{name} --> {state}_{target}" for target in spec["allowed_transitions"])
        yield "    }"
    yield f"    [*] --> {State.PENDING}"
    for state, spec in STATES.items():
        yield from (f"    {state} --> {target}" for target in spec["allowed_transitions"])
    yield from (f"    {state} --> [*]" for state in STATES if state in TERMINAL)
