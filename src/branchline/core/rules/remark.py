"""What a change does to that by which it is judged."""

from typing import Literal, get_args

import msgspec

JudgeKind = Literal[
    "deleted-test", "weakened-test", "shadow", "exit", "gate-file", "tool-config", "by-product", "secret-excuse",
    "excuse", "changed-test",
]  # fmt: skip
"""In the order in which they are told. docs/guides/approvals.md says what each is."""
KINDS: tuple[JudgeKind, ...] = get_args(JudgeKind)
MEANING: dict[JudgeKind, str] = {
    "deleted-test": "test deleted",
    "weakened-test": "test weakened",
    "shadow": "hides a module that a gate loads",
    "exit": "may end the process of a test run",
    "gate-file": "a gate's command goes by it",
    "tool-config": "tools of gates are configured by it",
    "by-product": "a gate left it to later gates",
    "secret-excuse": "tells tools to pass over a secret",
    "excuse": "switches a check off",
    "changed-test": "test changed",
}


class Remark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing by which the gates go and that a change touches; `detail`: how, in a few words."""

    kind: JudgeKind
    path: str
    detail: str = ""

    def __str__(self) -> str:
        return MEANING[self.kind] + (f": {self.detail}" if self.detail else "")
