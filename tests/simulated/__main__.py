"""`python -m simulated --runs N --seed S`: so many simulated runs from a seed on, and a table of what they came to."""

import argparse
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from simulated.fate import BrokenInvariant
from simulated.life import Tally, simulate

EVERY = 5_000
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


def total(first: int, runs: int, *, tell: bool = False) -> Total:
    """Simulate `runs` runs, their seeds counted from `first`; with `tell`, say on stderr how far it is."""
    signal.signal(signal.SIGVTALRM, _endless)
    found, began, used = Total(), time.perf_counter(), time.process_time()
    for seed in range(first, first + runs):
        try:
            found.add(_bounded(seed))
        except Exception:  # noqa: BLE001 - whatever comes through is a find, to be told with its seed
            found.broken.append((seed, traceback.format_exc()))
            if tell:
                print(f"{traceback.format_exc()}\n  make simulate SEED={seed} RUNS=1\n", file=sys.stderr)
        found.runs += 1
        if tell and found.runs % EVERY == 0:
            taken = time.perf_counter() - began
            print(f"{found.runs:,} runs, {taken:,.0f} s, {len(found.broken)} broken", file=sys.stderr)
    found.seconds, found.cpu = time.perf_counter() - began, time.process_time() - used
    return found


def main() -> int:
    """Exit 1 if anything was broken."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = total(asked.seed, asked.runs, tell=True)
    print(found.table())
    return 1 if found.broken else 0


if __name__ == "__main__":
    sys.exit(main())
