"""Many rounds of the hardest processes to end, by each method that works here; prints who was left, and how soon none was.

In each round a command starts a child, one in a session of its own, and a daemon that has left the tree, has cleared its
environment and ignores every request; then it ends: by itself, by a time-out, or because its coordinator is killed with
ten such commands at once. Exit code 1 if anything but a process group leaves a survivor for longer than a second.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from branchline.core.model.limits import UNLIMITED, Containment
from branchline.core.model.sandbox import SandboxSettings
from branchline.process.containment import Confinement
from branchline.process.spawn import run
from branchline.process.sweep import sweep
from branchline.sandbox.bubblewrap import Access
from branchline.sandbox.mounts import own
from branchline.sandbox.probe import ASKED, climb
from processes import running, three_ways, token

Method = Containment | Literal["sandbox"]
METHODS: tuple[Method, ...] = ("namespace", "sandbox", "subreaper", "group")
AT_ONCE = 10
ENV = {"PATH": os.environ["PATH"]}
SRC = Path(__file__).parents[1] / "src"


@contextmanager
def confined(method: Method, folder: Path) -> Iterator[Confinement]:
    """What holds a command by a method."""
    if method != "sandbox":
        yield Confinement(limits=msgspec.structs.replace(UNLIMITED, containment=method))
        return
    sandbox = climb(SandboxSettings(), {**os.environ, ASKED: ""}, root=None)
    with sandbox.entered(Access(mounts=own("write", folder))) as entered:
        yield entered.around(Confinement(limits=UNLIMITED))


def attempt(method: Method, name: str, out: Path, how: str) -> str:
    """One round of the first two kinds; what held it."""
    ending = "exit 0" if how == "exit" else "trap '' TERM; while :; do sleep 1; done"
    script = f"{three_ways(name)}; echo ready; {ending}"

    def ready() -> str | None:
        return "stopped" if how == "stop" and out.stat().st_size else None

    argv, place = ["sh", "-c", script], out.parent
    with confined(method, place) as held:
        return run(
            argv, cwd=place, env=ENV, stdout=out, stderr=out, grace=0.05, marker=name, confinement=held, watch=ready
        ).containment


def coordinate(method: Method, names: list[str], folder: Path) -> None:
    """As a process of its own: ten commands that do not end."""
    for name in names:
        threading.Thread(target=attempt, args=(method, name, folder / name, "never")).start()


def killed(method: Method, folder: Path) -> tuple[list[str], float]:
    """A coordinator is killed; the names of what it had started, and when."""
    names = [token() for _ in range(AT_ONCE)]
    argv = [sys.executable, __file__, "--coordinate", method, str(folder), *names]
    with subprocess.Popen(argv, env={**os.environ, "PYTHONPATH": f"{SRC}:{Path(__file__).parent}"}) as process:
        while len(running(*names)) < 3 * AT_ONCE:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    return names, time.monotonic()


def left(names: list[str], since: float) -> tuple[int, int, float]:
    """How many there were at once and after a second, and the milliseconds until there was none."""
    at_once = now = len(running(*names))
    while now and time.monotonic() - since < 1.0:
        time.sleep(0.002)
        now = len(running(*names))
    return at_once, now, (time.monotonic() - since) * 1000


def clean(names: list[str]) -> None:
    """End what a weak method has left."""
    for name in names:
        sweep(name)
    for pid in running(*names):
        os.kill(pid, signal.SIGKILL)


def rounds(method: Method, how: str, number: int, folder: Path) -> int:
    """All rounds of one kind, and their line of the table; the survivors."""
    at_once, after, times, held = 0, 0, [], ""
    for _ in range(number):
        if how == "kill -9":
            names, since = killed(method, folder)
        else:
            names = [token()]
            held = attempt(method, names[0], folder / names[0], how)
            since = time.monotonic()
        one, two, took = left(names, since)
        clean(names)
        at_once, after = at_once + one, after + two
        times.append(took)
    processes = number * 3 * (AT_ONCE if how == "kill -9" else 1)
    words = f"{method:<10} {how:<8} {number:>6} {processes:>9} {at_once:>12} {after:>10}"
    print(
        f"{words} {statistics.median(times):>10.1f} {max(times):>9.1f}{'' if held in {'', method} else f'  ({held})'}"
    )
    return 0 if method == "group" else after


def main() -> int:
    """Every method, every kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--coordinate", nargs="+")
    given = parser.parse_args()
    if given.coordinate:
        method, folder, *names = given.coordinate
        coordinate(method, names, Path(folder))
        return 0
    print(f"{'method':<10} {'ending':<8} {'rounds':>6} {'processes':>9} {'left at once':>12} {'after 1 s':>10}", end="")
    print(f" {'gone, ms':>10} {'worst, ms':>9}")
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        for method in METHODS:
            wanted = (
                given.rounds if method != "group" else given.rounds // 20
            )  # it is known to be weak, and slow to clean
            for how, share in (("exit", 2), ("stop", 2), ("kill -9", 2 * AT_ONCE)):
                survivors += rounds(method, how, max(1, wanted // share), Path(folder))
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
