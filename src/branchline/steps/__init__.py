"""The thirteen steps, one file each: the folder listing is the pipeline. Each returns facts; none schedules."""

from branchline.attempt.gate_run import run_gates
from branchline.attempt.performing import Step, in_three_parts
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

STEPS: dict[str, Step] = {
    "preflight": s00_preflight.run,
    "run_init": s01_run_init.run,
    "planning": s02_planning.run,
    "worktrees": s03_worktrees.run,
    "execute": in_three_parts(s04_execute.prepare, s04_execute.perform, s04_execute.conclude),
    "code_gate": in_three_parts(s05_code_gate.prepare, run_gates, s05_code_gate.conclude),
    "consume": s06_consume.run,
    "validate": in_three_parts(s07_validate.prepare, run_gates, s07_validate.conclude),
    "merge_prep": s08_merge_prep.run,
    "merge": s09_merge.run,
    "pr_ci": in_three_parts(s10_pr_ci.prepare, run_gates, s10_pr_ci.conclude),
    "ship": s11_ship.run,
    "archive": s12_archive.run,
}
