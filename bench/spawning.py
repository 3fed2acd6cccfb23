"""What it costs to hold an attempt's processes together: the same program `true`, spawned bare and by each method.

Bare: `subprocess`, output to a file. The others: `spawn.run`, by each method that works here, in turns with the bare one
and in one process; `limits` is the strongest method with the limits that every attempt gets. Wall time, and the CPU time
of the coordinator alone.
"""

import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
from _measuring import interleaved, options, show, verdict

from branchline.core.model.limits import UNLIMITED, Containment, ProcessLimits
from branchline.process.containment import Confinement, held_by
from branchline.process.spawn import run

METHODS: tuple[Containment, ...] = ("group", "subreaper", "namespace")
ENV = {"PATH": os.environ["PATH"]}
GOAL = 20.0  # milliseconds more than bare


def main() -> None:
    """Measure every method."""
    given = options(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        contestants = {"bare": timing(lambda: bare(place / "bare"))}
        contestants |= {name: timing(partial(ours, place / name, held)) for name, held in methods(place).items()}
        for work in contestants.values():
            work()  # the first one compiles
        marked = {name: marking(name, work) for name, work in contestants.items()}
        median = interleaved(3 if given.quick else 100, marked)
    show("One attempt of `true`: medians", [row(name, median) for name in contestants], as_json=given.json)


def methods(place: Path) -> dict[str, Confinement]:
    """Each method that works here."""
    found: dict[str, Confinement] = {
        name: Confinement(limits=msgspec.structs.replace(UNLIMITED, containment=name))
        for name in METHODS
        if held_by(name) == name
    }
    return {**found, "limits": Confinement(limits=ProcessLimits(), grows=(place,))}


def marking(name: str, work: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
    """The same figures under names of their own."""
    return lambda: {f"{name} {key}": value for key, value in work().items()}


def bare(out: Path) -> None:
    """The program and nothing else."""
    with out.open("wb") as file:
        subprocess.run(["true"], env=ENV, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=True)


def ours(out: Path, held: Confinement) -> None:
    """The program as an attempt."""
    assert run(["true"], cwd=out.parent, env=ENV, stdout=out, stderr=out, confinement=held).ok


def timing(work: Callable[[], None]) -> Callable[[], dict[str, float]]:
    """The same work, timed."""
    return lambda: timed(work)


def timed(work: Callable[[], None]) -> dict[str, float]:
    """Wall time of a piece of work, and CPU time of ours, in milliseconds."""
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall * 1000, "cpu": cpu * 1000}


def row(name: str, median: dict[str, float]) -> dict[str, str | float]:
    """One line of the table."""
    wall, floor = median[f"{name} wall"], median["bare wall"]
    return {
        "method": name,
        "wall, ms": wall,
        "more, ms": wall - floor,
        "ratio": wall / floor,
        "our CPU, ms": median[f"{name} cpu"],
        f"goal {GOAL:g} ms": verdict(wall - floor, GOAL),
    }


if __name__ == "__main__":
    main()
