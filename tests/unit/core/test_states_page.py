from pathlib import Path

from branchline.core.states import STATES
from pages import diagram_lines, states

PAGE = Path(__file__).parents[3] / "docs" / "states.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == states(), "run: make states"


def test_the_diagram_has_every_move_of_the_table_and_no_other() -> None:
    moves = {tuple(line.split(" --> ")) for line in diagram_lines() if line.startswith("    ") and " --> " in line}
    drawn = {(old.strip(), new) for old, new in moves if old.strip() in STATES and new in STATES}
    assert drawn == {(old, new) for old, spec in STATES.items() for new in spec["allowed_transitions"]}
    assert len(drawn) == 8
