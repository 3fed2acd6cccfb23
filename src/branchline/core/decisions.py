"""What people decide, as facts, and what they are asked: the base of all events stands with them."""

from typing import Literal

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", omit_defaults=True):
    """Base of all events."""


class Concern(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a person has to look at before it goes on; `path` where it is about one."""

    kind: Literal["protected", "deletions", "ship"]
    reason: str
    path: str = ""


class ApprovalNeeded(Event, frozen=True, tag="approval_needed", kw_only=True):
    """The task of `step` for this workstream waits until somebody has said yes or no to `tree`.

    `base` is the tree that it is to be compared with; `more` concerns are not listed.
    """

    task_id: str
    step: str
    tree: str
    base: str
    concerns: tuple[Concern, ...]
    workstream: str = ""
    more: int = 0


class ApprovalDecided(Event, frozen=True, tag="approval", kw_only=True):
    """A person's word on what waits: it holds for this task and this tree, and for no other."""

    task_id: str
    tree: str
    verdict: Literal["approved", "rejected"]
    by: str
    reason: str = ""


class RolledBack(Event, frozen=True, tag="rolled_back", kw_only=True):
    """What had shipped was undone by a new commit on the target; `reverts` is the commit that had shipped."""

    target: str
    commit: str
    reverts: str
    by: str
    reason: str = ""
