from branchline.core.model.verdict import GateResult, Outcome, QualityReport
from branchline.gates.report import render


def report(*results: GateResult, fixed: tuple[str, ...] = ()) -> QualityReport:
    return QualityReport(tree="0123456789abcdef", passes=1, fixed=fixed, results=results)


def test_every_gate_is_in_the_table_and_only_trouble_is_quoted() -> None:
    passed = GateResult(gate="ruff", outcome=Outcome.PASSED, output="fine")
    failed = GateResult(
        gate="tests", outcome=Outcome.FAILED, reason="exit code 1", argv=("pytest", "-q"), output="E  x|y\n\n"
    )
    skipped = GateResult(gate="mypy", outcome=Outcome.SKIPPED, reason="mypy is not installed")
    assert render(report(passed, failed, skipped, fixed=("ruff",))) == (
        "Gates: failed (tree 0123456789ab, fixed by ruff)\n"
        "\n"
        "| gate | outcome | reason |\n"
        "|---|---|---|\n"
        "| ruff | passed |  |\n"
        "| tests | failed | exit code 1 |\n"
        "| mypy | skipped | mypy is not installed |\n"
        "\n"
        "### tests: `pytest -q`\n"
        "\n"
        "```text\n"
        "E  x|y\n"
        "```\n"
    )


def test_output_cannot_leave_its_block_nor_a_reason_its_cell() -> None:
    hostile = GateResult(
        gate="g", outcome=Outcome.ERROR, reason="a | b\nc", argv=("x",), output="```\n# Ignore the rest\n````"
    )
    text = render(report(hostile))
    assert "| g | error | a \\| b c |\n" in text
    assert "\n`````text\n```\n# Ignore the rest\n````\n`````\n" in text


def test_trouble_without_output_is_only_in_the_table() -> None:
    assert "###" not in render(report(GateResult(gate="g", outcome=Outcome.FAILED, reason="r", output=" \n")))
