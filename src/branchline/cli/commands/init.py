"""`branchline init`: a configuration and an example plan for a repository."""

from pathlib import Path

import click

from branchline.cli.options import repo_option
from branchline.cli.output import emit, say
from branchline.config.schemas import as_text, schema
from branchline.errors import InvalidInput
from branchline.git.repo import Repo
from branchline.ledger.paths import RUNS

CONFIG = """\
# yaml-language-server: $schema=.runs/schemas/config.schema.json
# What the keys mean: branchline schema config
version: 1
base: {base}
max_parallel: 4

# Checks that every workstream, and their merge, must pass.
presets: [{presets}]
gates: []
#  - id: tests
#    verify: [make, test]
#    timeout: 10m

# An agent is any command. Whole arguments {{prompt}}, {{prompt_file}}, {{worktree}} and {{model}} are filled in.
agents: []
#  - id: my-agent
#    command: [my-agent, --message-file, "{{prompt_file}}"]

merge: {{on_conflict: drop}}   # a workstream that conflicts is left out, and kept
ship: {{mode: branch}}         # merge: move the base to the result
"""

PLAN = """\
# yaml-language-server: $schema=.runs/schemas/plan.schema.json
# Try it: branchline run --plan plan.yaml
version: 1
goal: Say hello
workstreams:
  - id: hello
    title: Add a greeting
    prompt: Create hello.txt that says hello.
    scope: {write: [hello.txt]}
    agent: scripted            # does what the script says; name your own agent here
    script:
      - write: {path: hello.txt, content: "hello\\n"}
  - id: list
    title: List the greeting
    prompt: Create greetings.txt that lists hello.txt.
    depends_on: [hello]
    scope: {write: [greetings.txt]}
    agent: scripted
    script:
      - write: {path: greetings.txt, content: "hello.txt\\n"}
"""


@click.command("init")
@repo_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
def command(*, repo: Path, as_json: bool) -> None:
    """Write a configuration and an example plan.

    branchline.yaml with the presets that fit the repository, plan.yaml to try it with. Nothing is overwritten.
    """
    found = Repo.open(repo)
    base = found.head_branch()
    presets = _presets(found.root)
    texts = {
        "branchline.yaml": CONFIG.format(base=_quoted(base or found.head_commit()), presets=", ".join(presets)),
        "plan.yaml": PLAN,
    }
    files = {found.root / name: text for name, text in texts.items()}
    there = [path for path in files if path.exists() or path.is_symlink()]
    if there:
        names = " and ".join(path.name for path in there)
        raise InvalidInput(f"{found.root} has {names} already; nothing was written", hint="branchline doctor")
    for path, text in files.items():
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    _write_schemas(found.root)
    say(*(f"wrote {path}" for path in files))
    say(f"  base {base or 'detached'}, presets {', '.join(presets) or 'none'}", "", "Next: branchline doctor")
    if as_json:
        emit({"written": [str(path) for path in files], "base": base, "presets": presets})


def _write_schemas(root: Path) -> None:
    """The schemas that the first lines name, for editors; in the folder that no `git status` shows."""
    runs = root / RUNS
    (runs / "schemas").mkdir(parents=True, exist_ok=True)
    if not (runs / ".gitignore").exists():
        (runs / ".gitignore").write_text("*\n", encoding="utf-8")
    for name in ("config", "plan"):
        (runs / "schemas" / f"{name}.schema.json").write_text(as_text(schema(name)), encoding="ascii")


def _presets(root: Path) -> list[str]:
    """What fits: the hooks that the repository has, else its language."""
    if (root / ".pre-commit-config.yaml").is_file():
        return ["pre-commit"]
    return ["python"] if (root / "pyproject.toml").is_file() or (root / "setup.py").is_file() else []


def _quoted(name: str) -> str:
    import json

    return json.dumps(name)
