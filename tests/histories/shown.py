"""What people are shown of a ledger: its recap and its status, as text."""

import json
from pathlib import Path

from branchline.core.run_state import RunState
from branchline.ledger.log import verified
from branchline.views import recap, status
from branchline.views.record import last_at


def shown(ledger: Path) -> str:
    """The recap and the status of a run that nobody drives."""
    data = ledger.read_bytes()
    run_id = json.loads(data.split(b"\n", 1)[0])["run_id"]
    records, state = verified(data, None, run_id).records, RunState()
    for record in records:
        state.apply(record.event)
    made = recap.recap(run_id, records, state, "/run")
    now = status.status(run_id, records, state, last_at(records), live=False)
    return "\n".join([*recap.lines(made, records, state), "", *status.lines(now), ""])
