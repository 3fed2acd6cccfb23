"""`branchline agents`: which agents there are, and what each can do here."""

from pathlib import Path

import click

from branchline.cli.history import find_root
from branchline.cli.options import json_option, repo_option
from branchline.cli.output import emit, show
from branchline.cli.survey import every_spec, survey
from branchline.config.load import load_settings
from branchline.views.format.text import section, table

TESTED = {True: "tested", False: "untested", None: ""}


@click.command("agents")
@repo_option
@json_option
def command(*, repo: Path, as_json: bool) -> None:
    """List the agents: what is installed, and what each can do.

    The built-in ones, those of the configuration, and those that installed packages offer. What is not installed comes
    with the command that installs it. `untested`: it may well work, but Branchline is tested with other versions.
    """
    settings = load_settings(None, root=find_root(repo))
    found = list(survey(every_spec(settings).values()).values())
    if as_json:
        emit(found)
    else:
        there = [seen for seen in found if seen.installed]
        header = ("agent", "version", "", "model", "home", "can")
        rows = [header]
        for seen in there:
            name = f"{seen.name} *" if seen.name == settings.agent else seen.name
            rows.append((name, seen.version, TESTED[seen.tested], seen.model, seen.home, ", ".join(seen.can)))
        out = table(rows, indent="")
        unnamed = {seen.name for seen in there if seen.source == "package"} - {spec.id for spec in settings.agents}
        sections = {
            "Where": [(seen.name, seen.path) for seen in there if seen.path],
            "Before you use it": [(seen.name, seen.hint) for seen in there if seen.hint],
            "Of a package; name it in branchline.yaml": [
                (name, f"agents: [{{id: {name}, use: {name}}}]") for name in sorted(unnamed)
            ],
            "Not installed": [(s.name, s.hint) for s in found if not (s.installed or s.problem)],
            "Not usable": [(s.name, s.problem + (f"; {s.hint}" if s.hint else "")) for s in found if s.problem],
        }
        show([*out, *(line for title, told in sections.items() for line in section(title, table(told)))])
