"""What a round of a workstream begins with, and what it may change."""

from collections.abc import Collection

from branchline.attempt.run import Place, StepContext
from branchline.core.facts import Codegate, MergeConflict
from branchline.core.model.plan import Scope
from branchline.core.rules.globs import matches_any
from branchline.core.rules.protection import protection

PROTECTED_BY_SCOPE = "protected by the workstream's scope"
PROTECTED = "a protected path (`approvals.protected` and `allow_protected` say what becomes of it)"


def violation(run: Place, scope: Scope, torn: Collection[str], path: str) -> str | None:
    """Why a workstream of that scope, which repairs a conflict in the paths `torn`, may not change a path; None if it may."""
    if path not in torn and not matches_any(scope.globs, path):
        return "outside the workstream's scope"
    if protection(scope.protect).name_of(path):
        return PROTECTED_BY_SCOPE
    return PROTECTED if run.settings.approvals.protected == "reject" and is_guarded(run, path) else None


def is_guarded(run: Place, path: str) -> bool:
    """Whether the settings protect a path by its own name."""
    return not matches_any(run.settings.allow_protected, path) and bool(protection(run.settings.guarded).name_of(path))


def guarded_if(run: Place, policy: str) -> list[str]:
    """The protected globs if that is what becomes of a change to them, less those that are allowed by name."""
    settings = run.settings
    return [
        one
        for one in settings.guarded
        if one not in settings.allow_protected and settings.approvals.protected == policy
    ]


def reference(ctx: StepContext) -> str:
    """The tree that a workstream's change is judged against: its base, or what it is merged with in a repair."""
    conflict = conflict_of(ctx)
    return ctx.run.repo.tree_of(conflict.tip if conflict else ctx.ws.base)


def conflict_of(ctx: StepContext) -> MergeConflict | None:
    """The conflict that this workstream is to repair, if there is one."""
    conflict = ctx.state.conflict
    return conflict if conflict is not None and conflict.workstream == ctx.task.workstream else None


def torn(ctx: StepContext) -> tuple[str, ...]:
    """The paths of that conflict."""
    conflict = conflict_of(ctx)
    return conflict.paths if conflict else ()


def rejected(ctx: StepContext) -> Codegate | None:
    """The batch that this round goes on from, if it was rejected."""
    return ctx.ws.rejected if ctx.task.round > 1 else None


def starting_tree(ctx: StepContext) -> str:
    """The tree that this round begins with: the rejected batch, the merge in conflict, or the workstream's base."""
    left = rejected(ctx) or conflict_of(ctx)
    return left.tree if left else ctx.run.repo.tree_of(ctx.ws.base)
