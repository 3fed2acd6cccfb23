"""What starting costs, the best of many: noise only ever adds.

The first table is the CPU (user + system) of `branchline` commands against `python -c pass`; `status` looks at a
finished run of eighteen tasks. The second is what a person waits for after `branchline run`, in wall time: a first sign
on the terminal, and the first record of the ledger.
"""

import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _measuring import child, options, show, verdict

from branchline import run_graph

GOALS = {"--version": 5.0, "--help": 7.0, "status": 10.0}
ROUNDS = 21
SIGN_GOAL, RECORD_GOAL = 0.3, 20.0  # seconds; times `python -c pass`
LONGEST_WAIT = 30.0  # seconds
PLAN = {
    "version": 1,
    "workstreams": [{"id": "a", "scope": {"write": ["b.txt"]}, "script": [{"sleep": 60}]}],
}


def main() -> None:
    """Measure each command as often, in turns."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        run_graph([{"id": f"t{number}", "run": ["true"]} for number in range(18)], root=folder)
        best = measured(Path(folder), 2 if given.quick else ROUNDS)
    floor = best["pass"]
    rows: list[dict[str, str | float]] = [
        {"command": "python -c pass", "CPU, ms": floor * 1000, "ratio": 1, "goal": ""}
    ]
    for name, goal in GOALS.items():
        ratio = best[name] / floor
        goal_met = f"{goal:g} {verdict(ratio, goal)}"
        rows.append({"command": f"branchline {name}", "CPU, ms": best[name] * 1000, "ratio": ratio, "goal": goal_met})
    show("Start-up: CPU of a whole process, the best of many", rows, as_json=given.json)
    with tempfile.TemporaryDirectory() as folder:
        show(
            "From `branchline run`: wall time, the best of many",
            waits(Path(folder), 2 if given.quick else ROUNDS),
            as_json=given.json,
        )


def measured(folder: Path, rounds: int) -> dict[str, float]:
    """CPU seconds by command."""
    command = branchline()
    contest = {"pass": [sys.executable, "-c", "pass"], **{name: [command, name] for name in GOALS}}
    best: dict[str, float] = {}
    for _ in range(rounds):
        for name, argv in contest.items():
            cost = child(argv, cwd=folder).cpu
            best[name] = min(cost, best.get(name, cost))
    return best


def branchline() -> str:
    """The command of the environment that this runs in."""
    return shutil.which("branchline", path=str(Path(sys.executable).parent)) or "branchline"


def waits(folder: Path, rounds: int) -> list[dict[str, str | float]]:
    """The lines of the second table."""
    repo, plan = folder / "repo", folder / "plan.json"
    plan.write_text(json.dumps(PLAN))
    repo.mkdir()
    (repo / "a.txt").write_text("a\n")
    for argv in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "one"]):
        subprocess.run(
            ["git", "-c", "user.name=Bench", "-c", "user.email=bench@localhost", *argv], cwd=repo, check=True
        )
    floors, signs, records = [], [], []
    for number in range(rounds):
        floors.append(child([sys.executable, "-c", "pass"]).wall)
        sign, record = first(
            repo, [branchline(), "run", "--plan", str(plan), "--yes"], f"01M8Q0000000000000000{number:05}"
        )
        signs.append(sign)
        records.append(record)
    floor, sign, record = min(floors), min(signs), min(records)
    return [
        {"until": "python -c pass has ended", "s": floor, "ratio": 1, "goal": ""},
        {
            "until": "the terminal shows a first sign",
            "s": sign,
            "ratio": sign / floor,
            "goal": f"{SIGN_GOAL:g} s {verdict(sign, SIGN_GOAL)}",
        },
        {
            "until": "the ledger has its first record",
            "s": record,
            "ratio": record / floor,
            "goal": f"{RECORD_GOAL:g} x {verdict(record / floor, RECORD_GOAL)}",
        },
    ]


def first(repo: Path, argv: list[str], run_id: str) -> tuple[float, float]:
    """Seconds until a command, started on a terminal, has shown something there and written to its run's ledger."""
    ours, theirs = pty.openpty()
    ledger = repo / ".runs" / run_id / "logs" / "run.jsonl"
    began = time.perf_counter()
    with subprocess.Popen(
        argv,
        cwd=repo,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "BRANCHLINE_RUN_ID": run_id},
    ) as process:
        sign = record = 0.0
        while not (sign and record):
            if select.select([ours], [], [], 0.001)[0] and os.read(ours, 4096):
                sign = sign or time.perf_counter() - began
            if not record and ledger.exists() and ledger.stat().st_size:
                record = time.perf_counter() - began
            if process.poll() is not None or time.perf_counter() - began > LONGEST_WAIT:
                raise RuntimeError(f"{' '.join(argv)} showed nothing, or wrote no record")
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # what it draws must be read, or it waits for us
            if select.select([ours], [], [], 0.1)[0]:
                os.read(ours, 4096)
    os.close(theirs)
    os.close(ours)
    return sign, record


if __name__ == "__main__":
    main()
