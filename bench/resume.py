"""Resuming a run whose ledger has 100,000 records: read, verify the chain, replay, decide what to do next.

Floor: `json.loads` of each line. The ledger is written by the ledger's own writer; about 33,000 tasks are COMPLETED.
"""

import sys
import tempfile
from pathlib import Path

from _measuring import RUNNERS, child, interleaved, options, show, verdict

from branchline.ledger.paths import RunPaths

RECORDS = 100_000
GOAL_SECONDS = 5
RUN_ID = "LONG"


def main() -> None:
    """Write one ledger; read it several times."""
    given = options(__doc__)
    records = 3_000 if given.quick else RECORDS
    with tempfile.TemporaryDirectory() as folder:
        paths = RunPaths(Path(folder), RUN_ID)
        child([sys.executable, str(RUNNERS / "make_ledger.py"), folder, RUN_ID, str(records)])
        median = interleaved(
            1 if given.quick else 5, {"resume": lambda: resume(paths), "json": lambda: parse(paths.ledger)}
        )
        size = paths.ledger.stat().st_size
    row: dict[str, str | float] = {
        "records": median["records"],
        "completed": median["completed"],
        "ledger, MB": size / 1e6,
        "json.loads, s": median["floor"],
        "resume, s": median["seconds"],
        "ratio": median["seconds"] / median["floor"],
        "goal": f"{GOAL_SECONDS} s {verdict(median['seconds'], GOAL_SECONDS)}",
        "peak, MB": median["peak"],
        "json peak, MB": median["floor peak"],
    }
    show("Resume of a long run, until its next decision", [row], as_json=given.json)


def resume(paths: RunPaths) -> dict[str, float]:
    """Seconds and peak memory of taking the run up."""
    cost = child([sys.executable, str(RUNNERS / "resume.py"), str(paths.root), paths.run_id])
    seconds, records, completed, commands = map(float, cost.out.split())
    if not commands:
        raise RuntimeError("the resume found nothing to do")
    return {"seconds": seconds, "records": records, "completed": completed, "peak": cost.peak_mb}


def parse(ledger: Path) -> dict[str, float]:
    """Seconds of the floor."""
    cost = child([sys.executable, str(RUNNERS / "read_json.py"), str(ledger)])
    return {"floor": float(cost.out), "floor peak": cost.peak_mb}


if __name__ == "__main__":
    main()
