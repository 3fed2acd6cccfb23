"""A quality report as Markdown, for people and for the agent that is to repair."""

from collections.abc import Iterator

from branchline.core.model.verdict import GateResult, Outcome, QualityReport

SHOWN = (Outcome.FAILED, Outcome.ERROR)


def render(report: QualityReport) -> str:
    """A table of every gate, then what the failed ones printed."""
    fixed = f", fixed by {', '.join(report.fixed)}" if report.fixed else ""
    lines = [
        f"Gates: {report.outcome} (tree {report.tree[:12]}{fixed})",
        "",
        "| gate | outcome | reason |",
        "|---|---|---|",
    ]
    lines += [f"| {result.gate} | {result.outcome} | {_cell(result.reason)} |" for result in report.results]
    for result in report.of(*SHOWN):
        lines += _details(result)
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _details(result: GateResult) -> Iterator[str]:
    if not result.output.strip():
        return
    fence = "```"
    while fence in result.output:
        fence += "`"
    yield from (
        "",
        f"### {result.gate}: `{' '.join(result.argv)}`",
        "",
        fence + "text",
        result.output.strip("\n"),
        fence,
    )
