import os
from pathlib import Path

import pytest

from branchline.attempt.sandboxed import cleared, refused_words, report_with_refused, with_refused
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


@pytest.mark.parametrize("planted", ["folder", "link", "link above"])
def test_a_further_agents_folder_holds_nothing_that_was_put_there(tmp_path: Path, planted: str) -> None:
    top, target = tmp_path / "a.1", tmp_path / "target"
    folder = top / "ask-2/agent-2"
    folder.parent.parent.mkdir()
    target.mkdir()
    if planted == "folder":
        folder.mkdir(parents=True)
        (folder / "prompt.md").symlink_to(target)
    elif planted == "link":
        folder.parent.mkdir()
        folder.symlink_to(target)
    else:
        folder.parent.symlink_to(target)
    cleared(top, folder)
    assert not os.path.lexists(folder)
    assert (folder.parent if planted != "link above" else top / "ask-2.planted-1").exists()
    assert [*target.iterdir()] == []


def test_what_nobody_has_touched_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ask-2").mkdir()
    cleared(tmp_path, tmp_path / "ask-2/agent-2")
    assert [path.name for path in tmp_path.iterdir()] == ["ask-2"]
