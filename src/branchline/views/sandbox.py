"""What held the processes of a run, and its sandbox, as its ledger tells."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from branchline.core.events import RunResumed
from branchline.core.facts import AgentCalled
from branchline.core.model.limits import WEAK
from branchline.core.model.sandbox import ASKED_FOR, SandboxFact
from branchline.core.run_state import RunState
from branchline.views.format.text import table, wrapped
from branchline.views.record import Timed

INSTALL = "pip install 'branchline[sandbox]'"


def sandbox_of(records: Iterable[Timed], state: RunState) -> SandboxFact | None:
    """The one that the run used last; None in an older ledger, and for a plain graph."""
    found = msgspec.convert(state.pins["sandbox"], SandboxFact) if "sandbox" in state.pins else None
    later = [r.event.sandbox for r in records if isinstance(r.event, RunResumed) and r.event.sandbox]
    return later[-1] if later else found


def sandbox_sections(records: Sequence[Timed], state: RunState) -> Iterator[tuple[str, list[str]]]:
    """What a recap has to say aloud: there was no sandbox unasked; what it did not let out; processes could get away."""
    fact = sandbox_of(records, state)
    if fact is not None and fact.rung < 3 and (fact.why != ASKED_FOR or fact.rung == 0):
        told = f"Agents and gates could read and write what you can: {fact.why}. Type: {INSTALL}"
        yield "NOT SANDBOXED", wrapped(told, indent="  ")
    called = [r.event for r in records if isinstance(r.event, AgentCalled)]
    refused = [(one.workstream or one.role, one.agent, host) for one in called for host in one.refused_hosts]
    if refused:
        yield "Not let out by the sandbox (sandbox.network)", table([*dict.fromkeys(refused)])
    checked = state.pipeline.preflight
    if any(one.containment == "group" for one in called) or (checked and checked.containment == "group"):
        yield "WEAKLY HELD", wrapped(f"{WEAK[0].upper()}{WEAK[1:]}.", indent="  ")
