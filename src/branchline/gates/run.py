"""The gates of one tree: fix to a fixpoint, seal the batch, then verify it without letting anything change it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from branchline.core.model.verdict import FIX_PASSES, Gate, GateResult, Outcome, Phase, QualityReport, in_order
from branchline.gates.command import Site, run_gate
from branchline.views.format.text import shown

NAMED_FILES = 5
MOST_MADE = 200
BAD = frozenset({Outcome.FAILED, Outcome.ERROR})


class Tree(Protocol):
    """The work tree that the gates look at, as its owner sees it. Ids are those of git trees."""

    @property
    def path(self) -> Path:
        """Its folder, absolute."""

    def fingerprint(self) -> str:
        """The tree id of what is there now: tracked and new files."""

    def seal(self) -> str:
        """Take what is there now as the batch; its tree id. The owner may first drop what does not belong in it."""

    def differences(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Paths of the batch that are no longer as sealed, and paths that are new."""

    def tampered(self, gate: str) -> str:
        """What the gate changed in the repository's own folder and has no business to, put back; empty if nothing."""

    def restore(self) -> None:
        """Make the paths of the batch as sealed again."""


@dataclass(slots=True)
class _Fixing:
    passes: int = 0
    fixed: dict[str, None] = field(default_factory=dict)
    bad: dict[str, GateResult] = field(default_factory=dict)
    unstable: tuple[str, ...] = ()


def check(
    gates: Iterable[Gate], *, tree: Tree, phase: Phase, site: Site, on_progress: Callable[[str], None]
) -> QualityReport:
    """Run the gates of `phase` over `tree`, one after the other, and report on the tree as sealed.

    Only phase "batch" fixes. `on_progress` gets what starts, such as "verify tests". Writes nothing but
    `<gate>.fix<pass>.log` and `<gate>.verify.log` into the site's `logs`, which is made if need be.
    """
    site.logs.mkdir(parents=True, exist_ok=True)
    chosen = in_order(gate for gate in gates if phase in gate.phases)
    fixing = _fix([gate for gate in chosen if gate.fix and phase == "batch"], tree, site, on_progress)
    sealed = tree.seal()
    results = []
    if fixing.unstable:
        reason = f"still changing files after {FIX_PASSES} passes: {', '.join(fixing.unstable)}"
        results = [GateResult(gate="fixpoint", outcome=Outcome.FAILED, reason=reason)]
    left = set[str]()
    for gate in chosen:
        on_progress(f"verify {gate.id}")
        result = _verify(gate, tree, site, left)
        results.append(fixing.bad.get(gate.id, result) if result.outcome is Outcome.PASSED else result)
    return QualityReport(tree=sealed, passes=fixing.passes, fixed=tuple(fixing.fixed), results=tuple(results))


def _fix(fixers: list[Gate], tree: Tree, site: Site, tell: Callable[[str], None]) -> _Fixing:
    done = _Fixing()
    last = tree.fingerprint() if fixers else ""
    for number in range(1, FIX_PASSES + 1):
        if not fixers:
            break
        movers, working = [], []
        for gate in fixers:
            tell(f"fix {gate.id}")
            result = _untampered(run_gate(gate, "fix", site, log=f"{gate.id}.fix{number}.log"), tree)
            if result.outcome in BAD:
                done.bad[gate.id] = msgspec.structs.replace(result, reason=f"its fix: {result.reason}")
            elif result.outcome is Outcome.PASSED:
                working.append(gate)
            before, last = last, tree.fingerprint()
            if last != before:
                movers.append(gate.id)
        done.passes = number
        done.fixed.update(dict.fromkeys(movers))
        done.unstable = tuple(movers) if number == FIX_PASSES else ()
        fixers = working if movers else []
    return done


def _verify(gate: Gate, tree: Tree, site: Site, left: set[str]) -> GateResult:
    """`left`: the new files that gates have left so far; this one's are added."""
    result = _untampered(run_gate(gate, "verify", site), tree)
    if result.outcome is Outcome.NOT_APPLICABLE:
        return result
    modified, new = tree.differences()
    if not modified:
        made = tuple(path for path in new if path not in left)[:MOST_MADE]
        left.update(new)
        return msgspec.structs.replace(result, made=made)
    tree.restore()
    left.clear()
    names = ", ".join(shown(path) for path in modified[:NAMED_FILES])
    more = f" and {len(modified) - NAMED_FILES} more" if len(modified) > NAMED_FILES else ""
    reason = f"changed files of the batch: {names}{more}"
    return msgspec.structs.replace(result, outcome=Outcome.FAILED, reason=reason)


def _untampered(result: GateResult, tree: Tree) -> GateResult:
    """The result, or a failure if the command changed what is not its to change."""
    what = tree.tampered(result.gate) if result.outcome is not Outcome.NOT_APPLICABLE else ""
    return msgspec.structs.replace(result, outcome=Outcome.FAILED, reason=f"it changed {what}") if what else result
