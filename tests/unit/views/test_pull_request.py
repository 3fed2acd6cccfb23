from collections.abc import Sequence

import pytest

from branchline.core.model.verdict import GateResult, Outcome, QualityReport
from branchline.core.run_state import RunState, replay
from branchline.ledger.codec import Record
from branchline.views.report import body, title


def checked(*results: tuple[str, Outcome, str]) -> QualityReport:
    made = tuple(GateResult(gate=gate, outcome=outcome, reason=reason) for gate, outcome, reason in results)
    return QualityReport(tree="7" * 40, passes=1, fixed=(), results=made)


def body_of(records: list[Record], report: QualityReport, files: Sequence[str], **plan: str) -> str:
    state = replay(record.event for record in records)
    state.plan = {**state.plan, **plan}
    return body("RUN", records, state, report, files)


def test_body(pipeline_run: list[Record]) -> None:
    results = (("tests", Outcome.PASSED, ""), ("mypy", Outcome.SKIPPED, "not installed"))
    report = checked(*results, ("web", Outcome.NOT_APPLICABLE, ""))
    text = body_of(pipeline_run, report, ("hello.txt", "od`d\n\udcff"))
    assert "| b | Say bonjour | left out: conflict with a in greetings.txt |\n" in text
    assert "| tests | passed |  |\n" in text
    assert "| mypy | **not checked** | not installed |\n" in text
    assert "web" not in text
    assert "| cost | $0.02 (agent), unknown for 4 attempts |\n" in text
    assert "## Files (2)\n\n- `hello.txt`\n- `` od`d \\udcff ``\n" in text
    assert text.endswith("Made by Branchline, run `RUN`.\n")


def test_long_lists_are_cut_and_counted(pipeline_run: list[Record]) -> None:
    files = [f"{number}.txt" for number in range(203)]
    text = body_of(pipeline_run, checked(), files, goal="")
    assert "- `199.txt`\n- and 3 files more\n" in text
    assert "Goal" not in text
    assert "## Gates" not in text


@pytest.mark.parametrize(
    ("goal", "expected"), [("", "Branchline run RUN"), ("Add\nhello", "Add hello"), ("x" * 90, "x" * 71 + "…")]
)
def test_title(goal: str, expected: str) -> None:
    assert title("RUN", RunState(plan={"goal": goal})) == expected
