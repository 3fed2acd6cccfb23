"""A quality report as Markdown, for people and for the agent that is to repair; and as files."""

from pathlib import Path

import msgspec

from branchline.core.model.verdict import Outcome, QualityReport
from branchline.views.format.excerpt import fenced


def render(report: QualityReport) -> str:
    """A table of every gate, then what the failed ones printed."""
    fixed = f", fixed by {', '.join(report.fixed)}" if report.fixed else ""
    lines = [
        f"Gates: {report.outcome} (tree {report.tree[:12]}{fixed})",
        "",
        "| gate | outcome | reason |",
        "|---|---|---|",
    ]
    for result in report.results:
        reason = result.reason.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {result.gate} | {result.outcome} | {reason} |")
    for result in report.of(Outcome.FAILED, Outcome.ERROR):
        if result.output.strip():
            lines += ["", f"### {result.gate}: `{' '.join(result.argv)}`", "", fenced(result.output)]
    return "\n".join(lines) + "\n"


def write_report(report: QualityReport, folder: Path, more: str = "") -> None:
    """Keep a report for machines and people; a review's advice is shown although it rejects nothing. `more` is its end."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    advice = [f"\n### {r.gate}\n\n{fenced(r.output)}\n" for r in report.of(Outcome.PASSED) if r.output and not r.argv]
    text = "".join((render(report), *advice, more))
    (folder / "report.md").write_text(text, encoding="utf-8", errors="backslashreplace")
