"""What held the processes of a run together, as its ledger tells."""

from collections.abc import Iterable, Iterator

from branchline.core.facts import AgentCalled
from branchline.core.model.limits import WEAK
from branchline.core.run_state import RunState
from branchline.views.format.text import wrapped
from branchline.views.record import Timed


def containment_sections(records: Iterable[Timed], state: RunState) -> Iterator[tuple[str, list[str]]]:
    """What a recap has to say aloud: processes could get away."""
    called = {record.event.containment for record in records if isinstance(record.event, AgentCalled)}
    told = state.pipeline.preflight
    if "group" in called or (told and told.containment == "group"):
        yield "WEAKLY HELD", wrapped(f"{WEAK[0].upper()}{WEAK[1:]}.", indent="  ")
