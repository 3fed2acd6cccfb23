"""`branchline doctor`: everything that a run needs, looked at one by one."""

import os
from pathlib import Path

import click

from branchline.cli.doctor import examine
from branchline.cli.options import file_type, json_option, repo_option
from branchline.cli.output import emit, show
from branchline.sandbox.probe import INSTALL, programs, tried
from branchline.views.format.text import plain, table, wrapped

MARGIN = 11


@click.command("doctor")
@click.option("--plan", type=file_type, metavar="FILE", help="Look at the agents that this plan names too.")
@click.option("--repair", is_flag=True, help="Put right what earlier runs left wrong.")
@click.option("--sandbox", is_flag=True, help="Try the sandbox out instead, and show all that was tried.")
@repo_option
@json_option
def command(*, plan: Path | None, repair: bool, sandbox: bool, repo: Path, as_json: bool) -> int:
    """Check that everything needed is here.

    git, Python, the repository, its configuration, the agents that it names, the gates' tools, and what earlier runs
    left. Each finding comes with the command that mends it. Exits 1 if something is missing that a run cannot do without.

    With --repair, what kills and people left wrong of the workspaces, refs and locks of runs that nobody drives is put
    right: what a run's ledger names, and nothing else. A lock is removed only if nobody can own it any more.

    With --sandbox: everything that must work in the sandbox and everything that must not is tried in each bubblewrap that
    is here, without a network. Exits 1 if none of them holds.
    """
    if sandbox:
        trials = {program: tried(program, "none", os.environ) for program in programs(os.environ)}
        if as_json:
            emit([{"program": name, "problem": one.problem, "probes": one.probes} for name, one in trials.items()])
        else:
            for name, one in trials.items():
                rows = [
                    (probe.name, probe.expected, "ok" if probe.ok else f"WAS {probe.found}") for probe in one.probes
                ]
                held = sum(probe.ok for probe in one.probes)
                show(["", f"{name}: {one.problem or f'holds, {held} of {len(rows)} probes'}", *table(rows)])
            if not trials:
                show([f"There is no bubblewrap: {INSTALL}"])
        return 1 if all(one.fact is None for one in trials.values()) else 0
    findings = list(examine(repo, plan, repair=repair))
    if as_json:
        emit(findings)
    else:
        for finding in findings:
            head = f"{finding.state:<{MARGIN - 2}}  "
            text = wrapped(f"{finding.name}: {finding.detail}", indent=" " * MARGIN)
            out = [head + text[0].lstrip(), *text[1:]]
            show([*out, f"{'':{MARGIN}}-> {plain(finding.next)}"] if finding.next else out)
    return 1 if any(finding.state == "missing" for finding in findings) else 0
