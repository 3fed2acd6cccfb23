"""The sandbox of a run on this machine."""

import os

from branchline.config.settings import Settings
from branchline.git.repo import Repo
from branchline.ledger.paths import RUNS
from branchline.sandbox.bubblewrap import Sandbox
from branchline.sandbox.probe import climb


def shelter(repo: Repo, settings: Settings) -> Sandbox:
    """What holds what a run in `repo` starts, tried out. Raises SandboxMissing if that is less than the settings ask for."""
    return climb(
        settings.sandbox,
        os.environ,
        root=repo.root,
        covered=((repo.root / RUNS).resolve(),),
        show=(repo.root, repo.common_dir),
    )
