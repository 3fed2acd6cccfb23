"""What a round of a workstream begins with, and what it may change."""

from collections.abc import Mapping
from typing import Any

from branchline.core.globs import matches_any, matches_folded
from branchline.steps.context import StepContext


def violation(ctx: StepContext, path: str) -> str | None:
    """Why a path may not be changed by this workstream; None if it may."""
    scope, settings = ctx.workstream.scope, ctx.run.settings
    mine = path in conflict_of(ctx).get("paths", ())
    if not mine and not matches_any(scope.write, path):
        return "outside the workstream's scope"
    if matches_folded(scope.protect, path):
        return "protected by the workstream's scope"
    if matches_folded(settings.protect, path) and not matches_any(settings.allow_protected, path):
        return "a protected path (allow it by `allow_protected`)"
    return None


def conflict_of(ctx: StepContext) -> Mapping[str, Any]:
    """The conflict that this workstream is to repair, as step 9 describes it; empty if it has none to repair."""
    conflict = ctx.outputs("merge", "")
    return conflict if conflict.get("repair") == ctx.task.workstream else {}


def rejected(ctx: StepContext) -> bool:
    """Whether this round goes on from a batch that was rejected."""
    return ctx.task.round > 1 and not ctx.completed("code_gate", ctx.task.workstream)


def starting_tree(ctx: StepContext) -> str:
    """The tree that this round begins with: the rejected batch, the merge in conflict, or the workstream's base."""
    if rejected(ctx):
        return str(ctx.outputs("code_gate")["tree"])
    if conflict := conflict_of(ctx):
        return str(conflict["tree"])
    return ctx.run.repo.tree_of(str(ctx.outputs("worktrees")["base"]))
