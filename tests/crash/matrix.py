"""`python -m crash.matrix`: kill the coordinator at every kind of moment, take the run up, and compare.

At the end stands a table: how many points of which kind, how many failed, and how to see a failure again.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from random import Random

from crash.points import SHARES, sample, universe
from crash.seam import announce
from crash.stage import STRACE, Stage, warm
from crash.stories import STORIES
from crash.trial import Laboratory, Outcome, Point

SIZE = 1200
Task = tuple[Point, tuple[int, ...], int]
_here: list[Laboratory] = []


def main(args: Sequence[str]) -> int:
    """Kill and compare; 1 if anything differed, 2 if this machine cannot."""
    if not sys.platform.startswith("linux"):
        print("the crash matrix needs Linux: /proc, pidfds and strace", file=sys.stderr)
        return 2
    wanted = _parsed(args)
    folder = Path(tempfile.mkdtemp(prefix="branchline-crash-", dir=wanted.folder or _fast_folder()))
    announce()  # before anything of ours is imported: it keeps some of the functions that are wrapped
    warm()
    outcomes: list[Outcome] = []
    try:
        for outcome in _watched(_carried_out(folder, wanted)):
            outcomes.append(outcome)
            if wanted.json:
                with wanted.json.open("a") as file:
                    file.write(
                        json.dumps([outcome.point, outcome.kind, outcome.where, outcome.kills, outcome.faults]) + "\n"
                    )
    finally:
        print("\n".join(_table(outcomes, wanted.seed)), flush=True)  # of what was done, also when it is interrupted
        if not wanted.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return int(any(o.faults for o in outcomes) or not outcomes)


def _parsed(args: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="crash.matrix", description=__doc__)
    parser.add_argument("--sample", type=int, default=SIZE, help=f"how many points [{SIZE}]")
    parser.add_argument("--seed", type=int, default=1, help="of the choice [1]")
    parser.add_argument(
        "--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at once [as many as processors]"
    )
    parser.add_argument("--story", action="append", choices=[*STORIES], help="only this one; repeatable")
    parser.add_argument(
        "--kind", action="append", help="only this kind of point: record, torn, before, orphan, git, call"
    )
    parser.add_argument("--only", action="append", help="this point alone, as a failure names it; repeatable")
    parser.add_argument("--folder", help="where the projects are made [/dev/shm, or a temporary folder]")
    parser.add_argument("--json", type=Path, help="append every outcome to this file, a line each")
    parser.add_argument("--keep", action="store_true", help="leave the folder of the last trials")
    return parser.parse_args(args)


def _fast_folder() -> str | None:
    """In memory: what a SIGKILL leaves is what the system was told to write, on any disk, and syncs cost nothing."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _carried_out(folder: Path, wanted: argparse.Namespace) -> Iterator[tuple[int, int, list[Outcome]]]:
    """(trial, of how many, its outcomes), as they come."""
    tasks = _tasks(folder, wanted)
    if min(wanted.jobs, len(tasks)) < 2:
        yield from ((number, len(tasks), _carry_out(task)) for number, task in enumerate(tasks, 1))
        return
    with get_context("fork").Pool(min(wanted.jobs, len(tasks)), _settle_in, (folder,)) as pool:
        for number, outcomes in enumerate(pool.imap_unordered(_carry_out, tasks), 1):
            yield number, len(tasks), outcomes


def _tasks(folder: Path, wanted: argparse.Namespace) -> list[Task]:
    """What to do, mixed, so that what is left tells how long it takes."""
    if wanted.only:
        _settle_in(folder)
        return [(Point.parse(text), (), wanted.seed) for text in wanted.only]
    if not STRACE:
        print("there is no strace: no kills at system calls", file=sys.stderr)
    _settle_in(folder)
    kinds = wanted.kind or [*SHARES]
    found = universe(_here[0], wanted.story or STORIES, traced="git" in kinds or "call" in kinds)
    print(", ".join(f"{len(points)} {kind}" for kind, points in found.items()), "points known", file=sys.stderr)
    chosen = sample({k: p for k, p in found.items() if k in kinds}, wanted.sample, wanted.seed)
    return Random(wanted.seed).sample([(point, deeper, wanted.seed) for point, deeper in chosen], len(chosen))


def _settle_in(folder: Path) -> None:
    _here[:] = [Laboratory(Stage(folder / str(os.getpid())))]


def _carry_out(task: Task) -> list[Outcome]:
    return list(_here[0].attempt(*task))


def _watched(trials: Iterator[tuple[int, int, list[Outcome]]]) -> Iterator[Outcome]:
    """The outcomes, with a line that tells how far it is."""
    began, points, failed = time.monotonic(), 0, 0
    for number, count, outcomes in trials:
        points += len(outcomes)
        failed += sum(bool(outcome.faults) for outcome in outcomes)
        _say("".join(f"{line}\n" for outcome in outcomes for line in _failure(outcome)), lasting=True)
        seconds = time.monotonic() - began
        line = f"{points} points, {failed} failed, {seconds:.0f} s, {seconds / number * (count - number):.0f} s left"
        _say(line, lasting=number == count or number % max(1, count // 20) == 0)
        yield from outcomes
    _say("\n", lasting=True)


def _say(text: str, *, lasting: bool) -> None:
    """On a terminal in one line that is written again and again; elsewhere only what is to stay."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif lasting and text:
        print(text.removesuffix("\n"), file=sys.stderr, flush=True)


def _failure(outcome: Outcome) -> Iterator[str]:
    if outcome.faults:
        yield f"FAILED {outcome.point}  {outcome.kind}, {outcome.where}"
        yield from (f"       {fault}" for fault in outcome.faults[:5])


def _table(outcomes: list[Outcome], seed: int) -> Iterator[str]:
    """By kind: how many distinct points, how many kills, how many failed; then the failures."""
    rows: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        rows[outcome.kind if outcome.kills else "not reached"].append(outcome)
    yield f"{'killed':<40} {'points':>7} {'kills':>7} {'failed':>7}"
    for kind in sorted(rows):
        yield _row(kind, rows[kind])
    yield _row("all that were killed", [o for o in outcomes if o.kills])
    depth = Counter(outcome.kills for outcome in outcomes if outcome.kills)
    yield "killed " + ", ".join(f"{kills} times in a row: {number}" for kills, number in sorted(depth.items()))
    for outcome in outcomes:
        yield from _failure(outcome)
    yield f"seed {seed}; again: make crash ONLY=POINT, or python -m crash.matrix --only POINT --keep"


def _row(kind: str, outcomes: list[Outcome]) -> str:
    points = {(*o.point.split("/")[:2], o.kind, o.where, o.point.partition("+")[2]) for o in outcomes}
    kills, failed = sum(o.kills for o in outcomes), sum(bool(o.faults) for o in outcomes)
    return f"{kind:<40} {len(points):>7} {kills:>7} {failed:>7}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
