"""The sandbox of a run on this machine."""

import os
from pathlib import Path

from branchline.config.settings import Settings
from branchline.git.repo import Repo
from branchline.sandbox.bubblewrap import Sandbox
from branchline.sandbox.probe import climb


def shelter(repo: Repo, settings: Settings, home: Path) -> Sandbox:
    """What holds what a run in `repo` starts, tried out; `home`: the folder of all work in the repository.

    Raises SandboxMissing if that is less than the settings ask for.
    """
    return climb(
        settings.sandbox,
        os.environ,
        root=repo.root,
        covered=_covered(repo, home),
    )


def _covered(repo: Repo, home: Path) -> tuple[Path, ...]:
    """What no command sees: others' work, the git directory, and where the run began in a linked worktree, the main one.

    The checkout itself needs no cover: the workspace stands there.
    """
    main = repo.common_dir.parent
    others = (main,) if repo.common_dir.name == ".git" and main != repo.root else ()
    return (home, repo.common_dir, *others)
