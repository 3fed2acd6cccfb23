"""The thirteen steps, one file each: the folder listing is the pipeline. Each returns facts; none schedules."""

from collections.abc import Callable

from branchline.attempt.run import StepContext
from branchline.core.result import Failure, Success
from branchline.steps import (
    s00_preflight,
    s01_run_init,
    s02_planning,
    s03_worktrees,
    s04_execute,
    s05_code_gate,
    s06_consume,
    s07_validate,
    s08_merge_prep,
    s09_merge,
    s10_pr_ci,
    s11_ship,
    s12_archive,
)

STEPS: dict[str, Callable[[StepContext], Success | Failure]] = {
    "preflight": s00_preflight.run,
    "run_init": s01_run_init.run,
    "planning": s02_planning.run,
    "worktrees": s03_worktrees.run,
    "execute": s04_execute.run,
    "code_gate": s05_code_gate.run,
    "consume": s06_consume.run,
    "validate": s07_validate.run,
    "merge_prep": s08_merge_prep.run,
    "merge": s09_merge.run,
    "pr_ci": s10_pr_ci.run,
    "ship": s11_ship.run,
    "archive": s12_archive.run,
}
