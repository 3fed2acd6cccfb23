"""`python -m simulated --runs N --seed S`: so many simulated runs from a seed on, and a table of what they came to."""

import argparse
import os
import signal
import sys
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from simulated.fate import BrokenInvariant
from simulated.life import Tally, simulate

CHUNK = 500
PATIENCE = 30.0  # seconds of CPU that one run may take


@dataclass(slots=True)
class Total:
    """All runs so far. `broken`: seed and traceback of those in which something was not as it must be."""

    runs: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[int, str]] = field(default_factory=list)

    def add(self, tally: Tally) -> None:
        """One more run that held."""
        self.ends[tally.status] += 1
        for name in ("events", "effects", "crashes", "resumes", "faults"):
            self.sums[name] += getattr(tally, name)

    def take_in(self, part: "Total") -> None:
        """Somebody else's share; `seconds` are not added, because they passed at the same time."""
        self.runs, self.cpu = self.runs + part.runs, self.cpu + part.cpu
        self.ends.update(part.ends)
        self.sums.update(part.sums)
        self.broken += part.broken

    def table(self) -> str:
        """For people."""
        rows = [("runs", self.runs), ("events", self.sums["events"]), ("effects", self.sums["effects"])]
        rows += [("crashes", self.sums["crashes"]), ("resumes", self.sums["resumes"])]
        rows += [("disk faults", self.sums["faults"]), *((f"  {end}", n) for end, n in sorted(self.ends.items()))]
        lines = [f"{name:<14}{number:>12,}" for name, number in rows]
        times = [("seconds", self.seconds), ("CPU seconds", self.cpu), ("runs/CPU s", self.runs / self.cpu)]
        lines += [f"{name:<14}{number:>12,.1f}" for name, number in times]
        return "\n".join([*lines, f"{'broken':<14}{len(self.broken):>12,}"])


def _bounded(seed: int) -> Tally:
    """A loop that never ends is broken too."""
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE)
    try:
        return simulate(seed)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _endless(_number: int, _frame: object) -> None:
    raise BrokenInvariant("it goes round in circles")


def total(first: int, runs: int) -> Total:
    """Simulate `runs` runs, their seeds counted from `first`."""
    signal.signal(signal.SIGVTALRM, _endless)
    found, began, used = Total(), time.perf_counter(), time.process_time()
    for seed in range(first, first + runs):
        try:
            found.add(_bounded(seed))
        except Exception:  # noqa: BLE001 - whatever comes through is a find, to be told with its seed
            found.broken.append((seed, traceback.format_exc()))
        found.runs += 1
    found.seconds, found.cpu = time.perf_counter() - began, time.process_time() - used
    return found


def shared(first: int, runs: int, jobs: int) -> Total:
    """The same by several processes; on stderr, how far it is and what was found."""
    every, began = Total(), time.perf_counter()
    firsts = range(first, first + runs, CHUNK)
    sizes = [min(CHUNK, first + runs - one) for one in firsts]
    with ProcessPoolExecutor(jobs) as pool:
        for part in pool.map(total, firsts, sizes):
            every.take_in(part)
            every.seconds = time.perf_counter() - began
            for seed, text in part.broken:
                print(f"{text}\n  make simulate SEED={seed} RUNS=1\n", file=sys.stderr)
            if every.runs % (10 * CHUNK) == 0:
                told = f"{every.runs:,} runs, {every.seconds:,.0f} s, {len(every.broken)} broken"
                print(told, file=sys.stderr)
    return every


def main() -> int:
    """Exit 1 if anything was broken."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    found = shared(asked.seed, asked.runs, asked.jobs)
    print(found.table())
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
