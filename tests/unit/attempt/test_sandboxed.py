from branchline.attempt.sandboxed import refused_words, report_with_refused, with_refused
from branchline.core.model.agent import AgentResult, AgentStatus
from branchline.core.model.verdict import GateResult, Outcome, QualityReport

HOSTS = ("a.org:443", "b.org:443", "c.org:443", "d.org:443")


def test_refused_hosts_are_told_where_something_failed() -> None:
    failed = AgentResult(status=AgentStatus.MODEL_ERROR, message="no connection")
    assert with_refused(failed, HOSTS[:1]).message == "no connection; the sandbox refused a.org:443"
    assert with_refused(failed, ()) is failed
    well = AgentResult(status=AgentStatus.OK, message="")
    assert with_refused(well, HOSTS) is well


def test_many_hosts_are_counted() -> None:
    assert refused_words(HOSTS) == "; the sandbox refused a.org:443, b.org:443, c.org:443 and 1 more"
    assert refused_words(()) == ""


def test_a_gate_that_failed_tells_of_them_too() -> None:
    results = (
        GateResult(gate="good", outcome=Outcome.PASSED, argv=("true",)),
        GateResult(gate="bad", outcome=Outcome.FAILED, reason="exit code 1", argv=("false",)),
    )
    report = QualityReport(tree="t", passes=0, fixed=(), results=results)
    told = report_with_refused(report, HOSTS[:1])
    assert [one.reason for one in told.results] == ["", "exit code 1; the sandbox refused a.org:443"]
    assert report_with_refused(report, ()) is report
