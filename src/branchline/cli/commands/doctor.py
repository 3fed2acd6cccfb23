"""`branchline doctor`: everything that a run needs, looked at one by one."""

from pathlib import Path

import click

from branchline.cli.checkup import Finding, examine
from branchline.cli.options import file_type, json_option, repo_option
from branchline.cli.output import emit, show
from branchline.views.text import plain, wrapped

EXIT_MISSING = 1
MARGIN = 11


@click.command("doctor")
@click.option("--plan", type=file_type, metavar="FILE", help="Look at the agents that this plan names too.")
@repo_option
@json_option
def command(*, plan: Path | None, repo: Path, as_json: bool) -> int:
    """Check that everything needed is here.

    git, Python, the repository, its configuration, the agents that it names, the gates' tools, and what earlier runs
    left. Each finding comes with the command that mends it. Exits 1 if something is missing that a run cannot do without.
    """
    findings = examine(repo, plan)
    if as_json:
        emit(findings)
    else:
        for finding in findings:
            show(_lines(finding))
    return EXIT_MISSING if any(finding.state == "missing" for finding in findings) else 0


def _lines(finding: Finding) -> list[str]:
    head = f"{finding.state:<{MARGIN - 2}}  "
    text = wrapped(f"{finding.name}: {finding.detail}", indent=" " * MARGIN)
    out = [head + text[0].lstrip(), *text[1:]]
    return [*out, f"{'':{MARGIN}}-> {plain(finding.next)}"] if finding.next else out
