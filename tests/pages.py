"""What is made from the program itself: `python -m pages reference`, `python -m pages states`, `python -m pages schemas`."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from branchline.cli.app import COMMANDS, WIDTH, app
from branchline.config.schemas import MODELS, as_text, schema
from branchline.core.states import STATES, TERMINAL, State, StateSpec

CONTRACTS = {"execution_plan": "plan", "task_graph": "graph", "context_manifest": "manifest"}
REFERENCE = """\
# Command reference

Made from the program itself by `make reference`; a test keeps it current. What the commands share, their output, exit
codes and environment variables: [the command line](../command-line.md).
"""
STATES_OF_A_TASK = """# States of a task

`make states` writes this page from the table in `core/states.py`. The engine takes no move that is not in it, and the
public `ExecutionStateMachine` ([library](guides/library.md)) uses the same table.
"""
HIDDEN = """
What lies inside a state is derived from the ledger (`core/run_state.py`); it moves no task by itself, but it says what
happens next:
"""

PHASES: Mapping[str, Mapping[str, StateSpec]] = {
    "PENDING": {
        "waiting": {"description": "a dependency has not ended", "allowed_transitions": ("ready", "doomed")},
        "ready": {"description": "starts when a worker, its resources and money are free", "allowed_transitions": ()},
        "doomed": {"description": "a dependency ended badly: cancelled or skipped next", "allowed_transitions": ()},
    },
    "RUNNING": {
        "driven": {"description": "a coordinator waits for the attempt", "allowed_transitions": ("lost",)},
        "lost": {"description": "the coordinator died; a resume drives it again", "allowed_transitions": ("driven",)},
    },
    "FAILED": {
        "undecided": {"description": "a retry may follow", "allowed_transitions": ("ended",)},
        "ended": {"description": "no retry is left, or a later round replaces it", "allowed_transitions": ()},
    },
}
"""What lies inside a state, as `core.states` describes it."""


def reference() -> str:
    """The help of every command, in the order of the table."""
    return "\n".join([REFERENCE, *_chapters()])


def _chapters() -> Iterator[str]:
    root = click.Context(app, info_name="branchline", terminal_width=WIDTH, **app.context_settings)
    yield _block(app, root)
    for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
        yield f"## {section}\n"
        for name in (name for name, entry in COMMANDS.items() if entry.section == section):
            command = app.get_command(root, name)
            assert command is not None
            yield f"### {name}\n"
            yield _block(command, click.Context(command, parent=root, info_name=name))


def _block(command: click.Command, ctx: click.Context) -> str:
    return f"```text\n{command.get_help(ctx)}\n```\n"


def states() -> str:
    """The page docs/states.md: the table of states as text, and drawn as a Mermaid diagram."""
    rows = ["| state | meaning | may go to |", "|---|---|---|"]
    for name, spec in STATES.items():
        rows.append(f"| {name} | {spec['description']} | {', '.join(spec['allowed_transitions']) or '(terminal)'} |")
    phases = ["| state | inside it | meaning |", "|---|---|---|"]
    for state, inside in PHASES.items():
        phases += [f"| {state} | {name} | {spec['description']} |" for name, spec in inside.items()]
    diagram = ["", "```mermaid", *diagram_lines(), "```"]
    return "\n".join([STATES_OF_A_TASK, *rows, *diagram, HIDDEN, *phases]) + "\n"


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


def schemas(folder: Path) -> None:
    """Write every schema as `<name>.schema.json` into a folder, and those that are contracts into its `contracts`."""
    (folder / "contracts").mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        (folder / f"{name}.schema.json").write_text(as_text(schema(name)), encoding="ascii")
    for contract, name in CONTRACTS.items():
        (folder / "contracts" / f"{contract}.schema.json").write_text(as_text(schema(name)), encoding="ascii")


if __name__ == "__main__":
    if sys.argv[1] == "schemas":
        schemas(Path("schemas"))
    else:
        sys.stdout.write({"reference": reference, "states": states}[sys.argv[1]]())
