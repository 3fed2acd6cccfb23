"""How a ranker is called: the command line of ours, and those of the rankers that come with the given benchmark."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

FIELDS = "--root {root} --task {task_file} --out {out} --cache {cache}"


def ours() -> str:
    """The command that a user types, with the benchmark's fields."""
    beside = shutil.which("branchline", path=str(Path(sys.executable).parent)) or "branchline"
    return f"{shlex.quote(beside)} context --root {{root}} --input {{task_file}} --out {{out}} --cache {{cache}} --format json"


def given(tools: Path) -> dict[str, str]:
    """The rankers of the benchmark in a folder, by name: the floor and the peers."""
    folder = shlex.quote(str(tools / "rankers"))
    python = f"{shlex.quote(sys.executable)} {folder}"
    return {
        "naive": f"{python}/naive.py {FIELDS}",
        "bm25": f"{python}/bm25.py {FIELDS}",
        "prototype": f"{python}/prototype.py --weights {folder}/prototype_weights.json {FIELDS}",
    }


def filled(template: str, fields: Mapping[str, str]) -> list[str]:
    """A command line with its fields filled in, as the benchmark does it: split first."""
    return [word.format(**fields) for word in shlex.split(template)]
