"""What the runner is given and what it prints: one JSON line an event, the last one `result` or `error`."""

import json
import sys
from collections.abc import Iterable

import msgspec

from branchline.core.model.agent import ContextFile, Mode
from branchline.core.rules.globs import fold, matches_any, matches_folded

INSTALL = "pip install agent-client-protocol"
HARMLESS = frozenset({"read", "search", "think"})
FREE_TO_EDITORS = frozenset({"execute", "fetch", "switch_mode"})
"""Kinds of tool that name no files: an attempt that may edit may use them. Git looks at the outcome, whatever ran."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt for the runner: the agent's command, the prompt, and the rules. `worktree`: where the runner was started.

    `write` and `protect` are globs over the worktree's paths; no `write` at all means any file of the worktree.
    """

    argv: tuple[str, ...]
    prompt: str
    worktree: str = ""
    mode: Mode = "edit"
    model: str = ""
    context: tuple[ContextFile, ...] = ()
    write: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()


def refusal(order: Order, kind: str | None, paths: Iterable[str | None]) -> str:
    """Why a tool may not be used; empty if it may. `paths` are the worktree's; None is a file outside of it."""
    if kind in HARMLESS:
        return ""
    if order.mode == "read":
        return "this attempt may only read"
    if kind in FREE_TO_EDITORS:
        return ""
    reasons = [write_refusal(order, path) for path in paths] or ["it does not say which files it changes"]
    return next(filter(None, reasons), "")


def write_refusal(order: Order, path: str | None) -> str:
    """Why a file may not be changed; empty if it may."""
    if order.mode == "read":
        return "this attempt may only read"
    if path is None:
        return "outside the worktree"
    if ".git" in fold(path).split("/"):
        return "git's own"
    if order.write and not matches_any(order.write, path):
        return "outside the workstream's scope"
    return "protected" if matches_folded(order.protect, path) else ""


class Failed(Exception):
    """The conversation came to no result: the `kind` of error, what happened, and a code if the agent gave one."""

    def __init__(self, kind: str, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.code = kind, message, code


def emit(event: str, /, **members: object) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps({"type": event, **members}) + "\n")
    sys.stdout.flush()
