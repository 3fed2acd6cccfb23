import msgspec
import pytest

from branchline.core.model.verdict import (
    NOT_PROVEN,
    Gate,
    GateResult,
    Kind,
    Outcome,
    QualityReport,
    applies,
    in_order,
)


def gate(name: str, kind: Kind = "check", *, fix: bool = False, when: tuple[str, ...] = ()) -> Gate:
    return Gate(id=name, kind=kind, verify=("true",), fix=("true",) if fix else None, when=when)


def report(*outcomes: Outcome) -> QualityReport:
    results = tuple(GateResult(gate=str(number), outcome=outcome) for number, outcome in enumerate(outcomes))
    return QualityReport(tree="t", passes=1, fixed=(), results=results)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), Outcome.PASSED),
        ((Outcome.PASSED, Outcome.SKIPPED, Outcome.NOT_APPLICABLE), Outcome.PASSED),
        ((Outcome.PASSED, Outcome.ERROR), Outcome.ERROR),
        ((Outcome.ERROR, Outcome.FAILED, Outcome.PASSED), Outcome.FAILED),
    ],
)
def test_a_report_is_as_bad_as_its_worst_gate(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    assert report(*outcomes).outcome == expected


def test_a_gate_that_a_limit_stopped_gives_its_name_to_the_error() -> None:
    made = report(Outcome.ERROR, Outcome.ERROR)
    assert made.error_class == "gate_error"
    stopped = msgspec.structs.replace(made.results[1], limit="memory_limit")
    assert msgspec.structs.replace(made, results=(made.results[0], stopped)).error_class == "memory_limit"


def test_results_by_outcome() -> None:
    made = report(Outcome.PASSED, Outcome.FAILED, Outcome.ERROR)
    assert [result.gate for result in made.of(Outcome.FAILED, Outcome.ERROR)] == ["1", "2"]


def test_gates_that_fix_come_first_lint_before_format_and_the_rest_by_kind() -> None:
    kinds: list[Kind] = ["test", "check", "analysis", "types", "secrets", "format", "lint"]
    gates = [gate("mend", fix=True), *(gate(kind, kind) for kind in kinds), gate("tests-2", "test")]
    assert [made.id for made in in_order(gates)] == [
        "lint",
        "format",
        "mend",
        "secrets",
        "types",
        "analysis",
        "check",
        "test",
        "tests-2",
    ]


def test_a_gate_applies_to_the_files_it_is_for() -> None:
    assert applies(gate("all"), [])
    assert applies(gate("py", when=("**/*.py",)), ["a.md", "x/a.py"])
    assert not applies(gate("py", when=("**/*.py",)), ["a.md"])


def test_a_report_in_short_names_every_gate() -> None:
    made = report(Outcome.PASSED, Outcome.SKIPPED).summary
    assert [(one.gate, one.outcome) for one in made] == [("0", Outcome.PASSED), ("1", Outcome.SKIPPED)]


def test_what_is_not_proven_is_not_checked_again() -> None:
    doubt = GateResult(gate=NOT_PROVEN, outcome=Outcome.ERROR)
    made = msgspec.structs.replace(report(Outcome.PASSED), results=(*report(Outcome.PASSED).results, doubt))
    assert (made.outcome, made.error_class, made.retryable) == (Outcome.ERROR, "unproven", False)
    assert report(Outcome.ERROR).retryable
    assert not report(Outcome.FAILED).retryable


def test_why_a_report_did_not_pass() -> None:
    results = (
        GateResult(gate="a", outcome=Outcome.FAILED, reason="it is red"),
        GateResult(gate="b", outcome=Outcome.PASSED, reason="fine"),
        GateResult(gate="c", outcome=Outcome.ERROR, reason="it is not here"),
    )
    assert QualityReport(tree="t", passes=1, fixed=(), results=results).why == "a: it is red; c: it is not here"


def result(outcome: Outcome, code: int | None = 5) -> GateResult:
    return GateResult(gate="t", outcome=outcome, reason="nothing to check (exit code 5)", exit_code=code)


def test_the_base_is_asked_where_it_can_tell_something() -> None:
    assert result(Outcome.SKIPPED).asks_base("validation")
    assert not result(Outcome.SKIPPED, None).asks_base("batch"), "its tool is missing there too"
    assert result(Outcome.FAILED).asks_base("batch")
    assert not result(Outcome.FAILED).asks_base("integration"), "the batch has been compared"
    assert not result(Outcome.PASSED).asks_base("batch")


@pytest.mark.parametrize("base", [Outcome.PASSED, Outcome.FAILED])
def test_what_had_something_to_check_and_has_nothing_now_has_not_passed(base: Outcome) -> None:
    beside = result(Outcome.SKIPPED).beside(result(base))
    assert beside.outcome is Outcome.FAILED
    assert beside.reason.endswith(f"but on the base it {base}: this change removed what it checks")


def test_what_is_red_on_the_base_in_the_same_way_is_said() -> None:
    failed, skipped = result(Outcome.FAILED), result(Outcome.SKIPPED)
    assert failed.beside(failed).reason.endswith("it fails on the base too, without this change")
    assert failed.beside(msgspec.structs.replace(failed, reason="exit code 2")) == failed
    assert failed.beside(result(Outcome.PASSED)) == failed
    assert skipped.beside(skipped) == skipped
    assert skipped.beside(result(Outcome.ERROR)) == skipped
