"""Gates as data: what a gate is, in which order gates run, and what their outcomes add up to."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from branchline.core.durations import Duration
from branchline.core.model.limits import ProcessLimits
from branchline.core.model.plan import Argv, Glob, Model, Name
from branchline.core.rules.globs import matches_any

ExitCodes = tuple[Annotated[int, msgspec.Meta(ge=0, le=255)], ...]
Kind = Literal["lint", "format", "secrets", "types", "analysis", "check", "test"]
Phase = Literal["batch", "validation", "integration"]

FIX_ORDER = ("lint", "format")
REST_ORDER = ("secrets", "types", "analysis", "check", "test")
FIX_PASSES = 3
REVIEW = "review"
"""The gate of what a second agent says of a batch."""

NOT_PROVEN = "not proven"
"""The gate of a result that says: what passed may have tested something else. No gate of a user's can be called that."""


class Gate(Model, frozen=True, kw_only=True):
    """A check that may fix, then must verify.

    `{files}` as a whole argument stands for the changed files that `when` selects (all of them without `when`).
    An exit code outside `ok_codes` fails the gate, unless `skip_codes` or `error_codes` ("could not check") has it.
    `limits` of its own stand instead of those of the settings.
    """

    id: Name
    kind: Kind = "check"
    fix: Argv | None = None
    verify: Argv
    ok_codes: ExitCodes = (0,)
    fix_ok_codes: ExitCodes = (0, 1)
    skip_codes: ExitCodes = ()
    error_codes: ExitCodes = ()
    timeout: Duration = "10m"
    cwd: str = "."
    env: dict[str, str] = {}
    when: tuple[Glob, ...] = ()
    required: bool = False
    phases: tuple[Phase, ...] = ("batch", "validation", "integration")
    limits: ProcessLimits | None = None


class Outcome(StrEnum):
    """What came of one gate."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # it could not check: time-out, signal, declared error code
    SKIPPED = "skipped"  # its tool is missing, or it said that there was nothing to check
    NOT_APPLICABLE = "not_applicable"  # `when` selects none of the changed files


class GateResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One gate's outcome with what a reader needs to believe it. `output` is the tail of what it printed.

    `containment`: what held its processes together; `limit`: the one that stopped them, of `limits.LIMIT_REASONS`.
    `made`: new files that it left, which later gates see.
    """

    gate: str
    outcome: Outcome
    reason: str = ""
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    milliseconds: int = 0
    output: str = ""
    log: str = ""
    containment: str = ""
    limit: str = ""
    made: tuple[str, ...] = ()

    def asks_base(self, phase: Phase) -> bool:
        """Whether what the same gate says of the base sheds light on this: it failed, or found nothing to check."""
        nothing = self.outcome is Outcome.SKIPPED and self.exit_code is not None
        return nothing or (self.outcome is Outcome.FAILED and phase == "batch")

    def beside(self, base: "GateResult") -> "GateResult":
        """The result beside that of the base. What had something to check there and has nothing here has not passed."""
        if self.outcome is Outcome.SKIPPED and base.outcome in {Outcome.PASSED, Outcome.FAILED}:
            reason = f"{self.reason}, but on the base it {base.outcome}: this change removed what it checks"
            return msgspec.structs.replace(self, outcome=Outcome.FAILED, reason=reason)
        if (self.outcome, self.reason) == (Outcome.FAILED, base.reason) and base.outcome is Outcome.FAILED:
            return msgspec.structs.replace(self, reason=f"{self.reason}; it fails on the base too, without this change")
        return self


class GateOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One gate's outcome in short, as facts hold it."""

    gate: str
    outcome: Outcome
    reason: str = ""


class QualityReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates said of one tree."""

    tree: str
    passes: int
    fixed: tuple[str, ...]
    results: tuple[GateResult, ...]

    @property
    def outcome(self) -> Outcome:
        """The whole's outcome: failed, else error, else passed; skipped gates neither pass nor fail it."""
        found = {result.outcome for result in self.results}
        if Outcome.FAILED in found:
            return Outcome.FAILED
        return Outcome.ERROR if Outcome.ERROR in found else Outcome.PASSED

    @property
    def error_class(self) -> str:
        """Why the whole could not be checked: the limit that stopped a gate, `unproven`, or `gate_error`."""
        if any(result.gate == NOT_PROVEN for result in self.results):
            return "unproven"
        return next((result.limit for result in self.results if result.limit), "gate_error")

    @property
    def retryable(self) -> bool:
        """Whether checking again could end otherwise."""
        return self.outcome == Outcome.ERROR and self.error_class != "unproven"

    @property
    def summary(self) -> tuple[GateOutcome, ...]:
        """What came of each gate, in short."""
        return tuple(GateOutcome(gate=r.gate, outcome=r.outcome, reason=r.reason) for r in self.results)

    @property
    def why(self) -> str:
        """What did not pass, and why."""
        return "; ".join(f"{r.gate}: {r.reason}" for r in self.of(Outcome.FAILED, Outcome.ERROR))

    def of(self, *outcomes: Outcome) -> tuple[GateResult, ...]:
        """The results with one of these outcomes."""
        return tuple(result for result in self.results if result.outcome in outcomes)


def in_order(gates: Iterable[Gate]) -> tuple[Gate, ...]:
    """Gates in the order in which they verify: those that fix (lint before format), then the rest by kind."""

    def rank(gate: Gate) -> tuple[bool, int]:
        fixes = gate.fix is not None or gate.kind in FIX_ORDER
        order = FIX_ORDER if fixes else REST_ORDER
        return not fixes, order.index(gate.kind) if gate.kind in order else len(order)

    return tuple(sorted(gates, key=rank))


def applies(gate: Gate, changed: Iterable[str]) -> bool:
    """Whether a gate has anything to say about these changed files."""
    return not gate.when or any(matches_any(gate.when, path) for path in changed)
