"""`branchline init`: a configuration and an example plan for a repository."""

import json
from pathlib import Path

import click

from branchline.cli.options import repo_option
from branchline.cli.output import emit, say
from branchline.cli.survey import survey
from branchline.config.schemas import as_text, schema
from branchline.core.model.agent_spec import BUILT_IN, AgentSpec
from branchline.core.rules.linear import compiled
from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.ledger.paths import record_home, show_record
from branchline.views.format.text import plain

PREFERRED = tuple(name for name in BUILT_IN if name not in {"scripted", "acp"})
TEMPLATES = Path(__file__).parents[1] / "templates"


@click.command("init")
@repo_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(*, repo: Path, as_json: bool) -> None:
    """Write a configuration and an example plan.

    branchline.yaml with the presets that fit the repository and the first agent that is installed, plan.yaml to try it
    with. Nothing is overwritten.
    """
    found = Repo.open(repo)
    base = found.head_branch()
    # The hooks that the repository has, else the gates of its language.
    hooks, python = ".pre-commit-config.yaml", ("pyproject.toml", "setup.py")
    is_python = any((found.root / name).is_file() for name in python)
    presets = ["pre-commit"] if (found.root / hooks).is_file() else ["python"] if is_python else []
    agents = survey([AgentSpec(id=name, use=name) for name in PREFERRED])
    chosen = next((name for name, seen in agents.items() if seen.installed), None)
    # The key `agent` with what was found, and the others as comments, with the commands that install them.
    lines = [f"agent: {chosen}" if chosen else "# agent: claude_code        # none is installed; one of these will do:"]
    for name, seen in agents.items():
        told = "installed" if seen.installed else seen.hint or seen.problem
        lines += [f"#   {name:<15}  {plain(told)}"] if name != chosen else []
    named = json.dumps(base or found.head_commit())
    filled = {"@BASE@": named, "@PRESETS@": ", ".join(presets), "@AGENT@": "\n".join(lines) + "\n"}
    files = {found.root / name: (TEMPLATES / name).read_text("utf-8") for name in ("branchline.yaml", "plan.yaml")}
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        names = " and ".join(path.name for path in there)
        raise InvalidInput(f"{found.root} has {names} already; nothing was written", hint="branchline doctor")
    for path, text in files.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(compiled("|".join(filled)).sub(lambda mark: filled[mark[0]], text))
    # The schemas that the first lines name, for editors; in the folder that no `git status` shows.
    runs = record_home(found.root)
    (runs / "schemas").mkdir(parents=True, exist_ok=True)
    show_record(found.root, "schemas")
    for name in ("config", "plan"):
        (runs / "schemas" / f"{name}.schema.json").write_text(as_text(schema(name)), encoding="ascii")
    say(*(f"wrote {path}" for path in files))
    say(f"  base {base or 'detached'}, presets {', '.join(presets) or 'none'}, agent {chosen or 'none found'}")
    say("", "Next: branchline doctor")
    if as_json:
        emit({"written": [str(path) for path in files], "base": base, "presets": presets, "agent": chosen})
