"""What every benchmark shares: children whose cost the kernel counts, interleaved rounds, medians, an aligned table."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RUNNERS = Path(__file__).with_name("runners")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a child process took: wall and CPU (user + system) seconds, peak memory in MB, and what it printed.

    Memory is that of the largest process among the child and its descendants, and never less than our own at the fork.
    """

    wall: float
    cpu: float
    peak_mb: float
    out: str


def child(argv: Sequence[str], *, cwd: Path | None = None, codes: tuple[int, ...] = (0,)) -> Cost:
    """Run a command to its end. Raises RuntimeError on any other exit code: a failed run has no time."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # pipes can fill up
        began = time.perf_counter()
        process = subprocess.Popen(argv, cwd=cwd, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        printed, said = out.read(), err.read()
    if process.returncode not in codes:
        raise RuntimeError(f"{' '.join(argv)} ended with {process.returncode}: {said[-2000:]}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, printed)


def interleaved(rounds: int, contestants: Mapping[str, Callable[[], dict[str, float]]]) -> dict[str, float]:
    """The median of every value that the contestants give, by name; they take turns, each round beginning elsewhere."""
    seen: dict[str, list[float]] = {}
    names = list(contestants)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            for key, value in contestants[name]().items():
                seen.setdefault(key, []).append(value)
    return {key: statistics.median(values) for key, values in seen.items()}


def options(description: str | None) -> argparse.Namespace:
    """The options of every benchmark: `quick`, `json`."""
    return parser(description).parse_args()


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of these options, for a benchmark that has more."""
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    made.add_argument("--quick", action="store_true", help="one small round: does it still run?")
    made.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    return made


def show(title: str, rows: Sequence[Mapping[str, str | float]], *, as_json: bool) -> None:
    """Print rows that share their keys as an aligned table, or as JSON."""
    if as_json:
        print(json.dumps({"benchmark": title, "rows": list(rows)}))
        return
    columns = list(rows[0])
    cells = [columns, *([_shown(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(title)
    for line in cells:
        aligned = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  " + "  ".join([line[0].ljust(widths[0]), *aligned]).rstrip())
    print()


def verdict(value: float, goal: float) -> str:
    """Whether a goal, an upper limit, is met."""
    return "met" if value <= goal else "MISSED"


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
