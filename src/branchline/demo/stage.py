"""Where the demo plays: a small repository with a plan of five workstreams, made from the files in `project`."""

import shutil
import sys
from pathlib import Path

from msgspec.structs import replace

from branchline.config.load import load_settings, plan_of
from branchline.engine.request import Request, pin
from branchline.errors import InvalidInput
from branchline.git.command import Git
from branchline.git.repo import Repo

PROJECT = Path(__file__).with_name("project")
OTHER = "branchline demo --keep NEW_FOLDER"


def stage(folder: Path) -> Request:
    """Make the repository in the new or empty folder `folder`; what the demo will ask of a run.

    Raises InvalidInput if something is in the folder, or if it cannot be written.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvalidInput(f"{folder} is not empty", hint=OTHER)
        shutil.copytree(PROJECT, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    except OSError as error:
        raise InvalidInput(f"cannot write {folder}: {error.strerror}", hint=OTHER) from error
    git = Git(folder / ".git", folder)
    git.call("init", "--quiet", "--initial-branch=main")
    git.call("add", "--all", "--", ".")
    git.call("commit", "--quiet", "--message", "Count words")
    settings = load_settings(None, root=folder)

    def ours(argv: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """The Python that runs us: there may be no other, or one behind a shim slower than the gate."""
        return argv and tuple(sys.executable if word == "python3" else word for word in argv)

    gates = tuple(replace(gate, fix=ours(gate.fix), verify=ours(gate.verify)) for gate in settings.gates)
    settings = replace(settings, gates=gates)
    plan = plan_of(folder / "plan.yaml", settings)
    return pin(Repo.open(folder), settings, plan=plan)
