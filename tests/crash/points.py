"""All points at which a story can be killed, found by watching it undisturbed; and a fair choice of some of them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from random import Random

from crash.seam import Failpoint
from crash.stage import STRACE, Ended, Stage
from crash.stories import STORIES
from crash.trial import Laboratory, Point

# What each kind gets of a sample, in per cent, and how many further kills follow a trial of it (by its place in line).
SHARES = {"record": 20, "torn": 8, "before": 38, "orphan": 8, "git": 13, "call": 13}
DEEPER = ((), (1,), (2,), (3,))
TRACED = ("plain", "depends")  # stories whose system calls are counted
READING = frozenset({
    "rev-parse", "show-ref", "symbolic-ref", "ls-tree", "ls-files", "diff-index", "diff-tree", "config", "version", "log",
    "cat-file", "rev-list", "for-each-ref", "merge-base", "check-ref-format", "check-ignore", "check-attr", "status",
})  # fmt: skip
OWN_CALLS = (
    "openat", "write", "pwrite64", "fdatasync", "fsync", "ftruncate", "mkdir", "rename", "unlink", "unlinkat", "rmdir",
    "flock", "vfork", "wait4", "close", "lseek", "newfstatat", "sendto", "sendmsg", "recvfrom", "poll",
)  # fmt: skip
GIT_CALLS = {  # those that change something; of `write` and `openat` only some
    **dict.fromkeys(("rename", "link", "symlink", "unlink", "mkdir", "rmdir", "fsync", "fdatasync", "chmod"), ""),
    "ftruncate": "", "write": r"^\d", "openat": r"O_(WRONLY|RDWR|CREAT)",
}  # fmt: skip
LINE = re.compile(r"(\d+) +(\w+)\((.*)")


def universe(laboratory: Laboratory, names: Iterable[str], *, traced: bool) -> dict[str, list[tuple[str, Point]]]:
    """By kind, every point of the stories with what it does; those of system calls only with strace, if `traced`."""
    found: dict[str, list[tuple[str, Point]]] = {kind: [] for kind in SHARES}
    for name in names:
        for number, ended in enumerate(laboratory.undisturbed(name)):
            for kind, what, point in _deeds(name, number, ended):
                found[kind].append((what, point))
        if traced and STRACE and name in TRACED:
            for kind, what, point in _calls(laboratory.stage, name):
                found[kind].append((what, point))
    return found


def _deeds(name: str, command: int, ended: Ended) -> Iterator[tuple[str, str, Point]]:
    for number, (effect, what, step) in enumerate(ended.deeds, 1):
        kind = effect if effect in {"record", "torn"} else "before"
        yield kind, f"{effect} {what} {step}", Point(name, command, number)
        if what.startswith("git ") and what.split()[1] not in READING:
            yield "orphan", f"{what} {step}", Point(name, command, number, git="orphan")


def _calls(stage: Stage, name: str) -> Iterator[tuple[str, str, Point]]:
    """The system calls of a story's first command: the coordinator's by their numbers, git's by what they change."""
    STORIES[name].ask(stage.folder)
    stage.put_back(f"{name}-0")
    log = stage.folder / "calls"
    calls = ",".join(sorted({*OWN_CALLS, *GIT_CALLS, "execve"}))
    trace = ("-v", "-o", str(log), "-e", f"trace={calls}")
    ended = stage.command(STORIES[name].commands[0].args, Failpoint(), trace=trace)
    processes = _by_process(log.read_text(errors="replace"))
    started = {n: what for n, (_, what, _) in enumerate(ended.deeds, 1) if what.startswith("git ")}
    for lines in processes.values():
        number = _which(lines, started)
        what = started.pop(number, "")
        if number and what.split()[1] not in READING:
            for call, nth in _changes(lines):
                yield "git", f"{what} {call}", Point(name, 0, number, git=f"{call}:{nth}")
    own = [Counter(call for call, _ in lines) for lines in processes.values() if "execve" not in dict(lines)]
    for call in OWN_CALLS:
        for at in range(1, max((count[call] for count in own), default=0) + 1):
            yield "call", call, Point(name, 0, at, call)


def _by_process(log: str) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in log.splitlines():
        if call := LINE.match(line):  # a call that is resumed has been seen when it began
            found[call[1]].append((call[2], call[3]))
    return found


def _which(lines: list[tuple[str, str]], started: dict[int, str]) -> int:
    """The deed that started a process, if that is git: the first of those of this command that nobody has claimed."""
    argv = next((rest for call, rest in lines if _is_git(call, rest)), "")
    return next((number for number, what in started.items() if f'"{what.split()[1]}"' in argv), 0)


def _is_git(call: str, rest: str) -> bool:
    return call == "execve" and '/git", [' in rest


def _changes(lines: list[tuple[str, str]]) -> Iterator[tuple[str, int]]:
    """The calls that change something, each with its number among those of its name, as strace counts them."""
    start = next(n for n, (call, rest) in enumerate(lines) if _is_git(call, rest))
    counts: Counter[str] = Counter()
    for call, rest in lines[start + 1 :]:
        counts[call] += 1
        if call in GIT_CALLS and re.search(GIT_CALLS[call], rest):
            yield call, counts[call]


def sample(found: dict[str, list[tuple[str, Point]]], size: int, seed: int) -> list[tuple[Point, tuple[int, ...]]]:
    """About `size` trials: points of every kind by its share, each with the further kills that follow it.

    What happens seldom comes before what happens often; a kind with too few points leaves its share to the others.
    """
    chance = Random(seed)
    lines = {kind: _in_line(points, chance) for kind, points in found.items()}
    taken: list[tuple[Point, tuple[int, ...]]] = []
    trials, room = 0, {kind: size * share / 100 for kind, share in SHARES.items()}
    while trials < size and any(lines.values()):
        kind = max((kind for kind in lines if lines[kind]), key=lambda kind: (room[kind], kind))
        deeper = DEEPER[len(taken) % len(DEEPER)]
        taken.append((lines[kind].pop(), deeper))
        trials += 1 + len(deeper)
        room[kind] -= 1 + len(deeper)
    return sorted(taken)


def _in_line(points: list[tuple[str, Point]], chance: Random) -> list[Point]:
    """Shuffled, the seldom last, because they are taken from the end; of the same, those of short stories rather."""
    lengths = Counter(point.story for _, point in points)
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, int, Point]] = []
    for what, point in sorted(points, key=lambda one: -(chance.random() ** (lengths[one[1].story] / 100))):
        ranked.append((-seen[what], -len(ranked), point))
        seen[what] += 1
    return [point for *_, point in sorted(ranked)]
