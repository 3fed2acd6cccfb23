"""Real faults of a disk under a real run: system calls that fail (strace), files that may not grow, a full file system.

Whatever fails, the ledger holds the state before or the state after, somebody is told in words, and once there is room
the same run goes on to the same commit. `make faults` sweeps over every call; tests take a few.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support import SEAM, Project, Ran, gate, workstream, write

RUN = SEAM["BRANCHLINE_RUN_ID"]
PLAN = {"workstreams": [workstream("a", write("a.txt", "a\n"))]}
SETTINGS = {
    "gates": [gate("there", "test -f a.txt")],
    "ship": {"mode": "merge"},
    "retry": {"max_attempts": 1},
    "repair": {"rounds": 0},
}
TARGETS = {
    "ledger": [("write", "ENOSPC"), ("write", "EIO"), ("fdatasync", "EIO"), ("fdatasync", "ENOSPC")],
    "head": [("pwrite64", "ENOSPC"), ("pwrite64", "EIO")],
    "anything": [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "ENOSPC")],
}
MOST = {"ledger": 100, "head": 100, "anything": 60}


class Unkept(AssertionError):
    """A fault of the disk was not borne as it must be."""


def project(folder: Path) -> Project:
    """The same repository, wherever it is."""
    return Project.make(folder / "p")


def command(made: Project) -> list[str]:
    """The run, as a user types it."""
    plan, config = made.request(PLAN, SETTINGS)
    asked = ["run", "--plan", str(plan), "--config", str(config), "--yes"]
    return [sys.executable, "-m", "branchline", *asked]


def undisturbed(folder: Path) -> str:
    """The commit on main of a run on a good disk."""
    made = project(folder)
    ran = run(made, command(made))
    if ran.code != 0:
        raise Unkept(ran.err)
    return made.git("rev-parse", "main")


def run(made: Project, argv: list[str], env: Mapping[str, str] = SEAM) -> Ran:
    """Any command, in the project."""
    done = subprocess.run(
        argv, cwd=made.root, env={**os.environ, "NO_COLOR": "1", **env}, capture_output=True, timeout=300, check=False
    )
    return Ran(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))


def ledger_of(made: Project) -> Path:
    """The run's ledger, where it really is: strace goes by that, and a full disk may have no link to it."""
    return made.root / ".git/branchline/runs" / RUN / "logs" / "run.jsonl"


def injected(made: Project, target: str, call: str, error: str, number: int) -> tuple[Ran, bool]:
    """The run, with that system call failing once, the `number`th time; and whether it came to that."""
    log = made.root.parent / "strace.log"
    path = {"ledger": ["-P", str(ledger_of(made))], "head": ["-P", str(ledger_of(made).with_name("run.head"))]}
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", *path.get(target, [])]
    ran = run(made, [*strace, "-e", f"inject={call}:error={error}:when={number}", *command(made)])
    return ran, "(INJECTED)" in log.read_text("utf-8", "replace")


def check(made: Project, ran: Ran, commit: str, *, strict: bool) -> str:
    """What became of the run; then it goes on. Raises Unkept. `strict`: the run itself has to stop with the words."""
    if "Traceback" in ran.err or ran.code == 3:
        raise Unkept(f"it crashed: {ran.err[-3000:]}")
    if ran.code not in {0, 1, 2, 5}:
        raise Unkept(f"exit code {ran.code}: {ran.err[-2000:]}")
    if strict and not (
        ran.code == 1 and re.search(r"error: cannot write .*: ", ran.err) and "hint: make room" in ran.err
    ):
        raise Unkept(f"exit code {ran.code}, said: {ran.err[-2000:]}")
    went_on = go_on(made, ran.err)
    if made.git("rev-parse", "main") != commit:
        raise Unkept(f"it ended elsewhere: {ran.err[-1500:]}\n--- then\n{went_on}")
    if (seen := made.branchline("verify")).code != 0:
        raise Unkept(seen.out + seen.err)
    return "absorbed" if ran.code == 0 else "stopped"


def go_on(made: Project, first: str) -> str:
    """As a user would, once there is room, who has read what was said `first`: resume or retry; or begin again, if it
    never began. What was said then.
    """
    if not (ledger_of(made).exists() and b"\n" in ledger_of(made).read_bytes()):
        return run(made, command(made)).err
    seen = made.branchline("verify")
    if seen.code != 0 and f"is missing: branchline resume {RUN} writes it" not in seen.out:
        raise Unkept(f"the ledger does not verify: {seen.out}")
    said = made.branchline("resume").err
    told = first + said if "nothing to resume" in said else said  # a resumed run may end with a command of its own
    if hint := re.search(r"branchline (retry \S+ \S+)", told):
        said += made.branchline(*hint[1].split()).err
    return said


def limited(made: Project, kilobytes: int) -> Ran:
    """The run, whose files may not grow beyond a size: a short write first, then an error, as on a full disk."""
    shell = f'ulimit -f {kilobytes}; exec "$@"'
    return run(made, ["bash", "-c", shell, "bash", *command(made)])


@dataclass(slots=True)
class Swept:
    """How many faults of each kind were made, and what became of them."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)
    unkept: list[str] = field(default_factory=list)

    def table(self) -> str:
        """For people."""
        rows = [f"{'fault':<28}{'made':>6}{'stopped':>9}{'absorbed':>10}{'unkept':>8}"]
        for kind, found in self.kinds.items():
            rows.append(f"{kind:<28}{found.total():>6}{found['stopped']:>9}{found['absorbed']:>10}{found['unkept']:>8}")
        return "\n".join(rows)


def sweep(every: int) -> Swept:
    """Every fault, or one in `every`."""
    swept = Swept()
    with tempfile.TemporaryDirectory(prefix="branchline-faults-") as place:
        commit = undisturbed(Path(place) / "good")
        for target, calls in TARGETS.items():
            for call, error in calls:
                kind = f"{target} {call} {error}"
                for number in range(1, MOST[target] + 1, every):
                    if not _one(swept, Path(place) / "bad", commit, kind, number):
                        break
                print(swept.table().splitlines()[-1], file=sys.stderr)
        _limits(swept, Path(place), commit, every)
    return swept


def _one(swept: Swept, folder: Path, commit: str, kind: str, number: int) -> bool:
    """Have one call fail; whether there were that many."""
    shutil.rmtree(folder, ignore_errors=True)
    made, (target, call, error) = project(folder), kind.split()
    ran, reached = injected(made, target, call, error, number)
    if reached:
        _count(swept, kind, f"{kind} {number}", made, ran, commit, strict=target != "anything")
    return reached


def _limits(swept: Swept, place: Path, commit: str, every: int) -> None:
    for kilobytes in range(1, 60, every):
        shutil.rmtree(place / "bad", ignore_errors=True)
        made = project(place / "bad")
        ran = limited(made, kilobytes)
        _count(swept, "RLIMIT_FSIZE", f"RLIMIT_FSIZE {kilobytes}", made, ran, commit, strict=False)


def _count(swept: Swept, kind: str, name: str, made: Project, ran: Ran, commit: str, *, strict: bool) -> None:
    found = swept.kinds.setdefault(kind, Counter())
    try:
        found[check(made, ran, commit, strict=strict)] += 1
    except Unkept as error:
        found["unkept"] += 1
        swept.unkept.append(f"{name}: {error}")


def main() -> int:
    """Exit 1 if a fault was not borne."""
    if shutil.which("strace") is None:
        print("strace is not installed: apt install strace", file=sys.stderr)
        return 1
    began = time.perf_counter()
    swept = sweep(int(os.environ.get("EVERY", "1")))
    for text in swept.unkept[:10]:
        print(f"{text}\n")
    print(f"{swept.table()}\n{time.perf_counter() - began:,.0f} s")
    return 1 if swept.unkept else 0


if __name__ == "__main__":
    sys.exit(main())
