"""Looking for an agent's program on this machine: where it is, which version, and whether it works."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from branchline.agents.base import Probe
from branchline.core.model.agent_spec import AgentSpec
from branchline.core.rules.linear import compiled
from branchline.process.environment import allowed
from branchline.process.output import readable
from branchline.process.spawn import CannotStart, Captured, capture
from branchline.process.temporary import temporary_folder

NUMBER = compiled(r"(?<!\d)\d++(?:\.\d++)++")
PATIENCE = 20.0  # seconds; a Python agent takes several to import itself on a busy machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to look for. `tested`: the first and the last version that we test with, if any; `install`: the command.

    `version`: arguments with which it tells its version; None: it cannot be asked. `trial`: arguments with which it must
    end well, if it is to be of use; `mend` is the hint if it does not.
    """

    name: str
    tested: tuple[str, ...]
    install: str
    version: tuple[str, ...] | None = ("--version",)
    trial: tuple[str, ...] = ()
    mend: str = ""


def look_with_key(spec: AgentSpec, program: Program, keys: Sequence[str]) -> Probe:
    """Find the program that a specification may call otherwise, and one of the variables that hold its key.

    The first of `keys` is the one to set. In the user's home there may be a login instead.
    """
    probe = look(replace(program, name=spec.program or program.name))
    if probe.hint or spec.home == "user" or not keys or not {*keys}.isdisjoint({*os.environ, *spec.env}):
        return probe
    return replace(probe, hint=f"export {keys[0]}=...")


def look(program: Program, environ: Mapping[str, str] = os.environ) -> Probe:
    """Find a program and ask it for its version. It gets an empty home: some write to it at the first start."""
    path = shutil.which(program.name, path=environ.get("PATH"))
    if path is None:
        return Probe(available=False, hint=program.install)
    if program.version is None:
        return Probe(available=True, path=path)
    with tempfile.TemporaryDirectory(dir=temporary_folder()) as folder:
        # Side by side: some programs will not have one inside the other.
        extra = {"HOME": os.path.join(folder, "home"), "TMPDIR": os.path.join(folder, "tmp")}
        for place in extra.values():
            os.mkdir(place)
        env = allowed(environ, extra=extra)
        asked = _ask([path, *program.version], env)
        tried = _ask([path, *program.trial], env) if program.trial else asked
    if asked is None:
        return Probe(available=False, path=path, hint=program.install)
    works = not program.trial or (tried is not None and tried.code == 0)
    found = NUMBER.search(readable(asked.stdout + b"\n" + asked.stderr))
    version = found.group() if found else ""
    tested = None
    if version and program.tested:
        tested = _order(program.tested[0]) <= _order(version) <= _order(program.tested[-1])
    hint = program.mend if not works else "" if tested or not program.tested else program.install
    return Probe(available=True, path=path, version=version, tested=tested, hint=hint)


def _ask(argv: list[str], env: Mapping[str, str]) -> Captured | None:
    try:
        return capture(argv, cwd=Path(env["HOME"]), env=env, timeout=PATIENCE)
    except CannotStart:
        return None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
